import type { Command } from 'commander';

/** Where an agent listens by default. */
export const DEFAULT_URL = 'http://127.0.0.1:5000';

/** What every subcommand that calls an agent takes. */
export interface RemoteOptions {
  readonly url?: string;
  readonly tokenFile?: string;
}

/** Adds the options that name the agent to call. */
export function withRemote(command: Command): Command {
  return command
    .option('--url <url>', `URL of the agent (default: AGENT3_URL, else ${DEFAULT_URL})`)
    .option(
      '--token-file <file>',
      'file that holds the token, or a settings file of the agent (default: AGENT3_API_TOKEN)',
    );
}

/** What the help of these subcommands ends with. */
export const REMOTE_HELP = `
The agent is the one of --url or AGENT3_URL; its token comes from AGENT3_API_TOKEN or --token-file,
never from the command line, which every user of this machine can read. Without all of these root
calls the agent of this server.`;
