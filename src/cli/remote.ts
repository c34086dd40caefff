import { readFileSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { AgentClient } from '../client/agent-client.ts';
import { processEnvironment } from '../config.ts';
import { describeErrno } from '../core/errors.ts';
import { parseSettings } from '../install/settings-file.ts';

const DEFAULT_URL = 'http://127.0.0.1:5000';

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
never from the command line, which every user of this machine can read.`;

/** A client of the agent that the options and the environment name. `refuse` ends the process with a message. */
export function remoteClient(options: RemoteOptions, refuse: (fault: string) => never): AgentClient {
  const environment = processEnvironment();
  const url = (options.url ?? (environment['AGENT3_URL'] || DEFAULT_URL)).replace(/\/+$/, '');
  if (!/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/.test(url)) {
    refuse(`the URL of an agent has the form https://agent.example.org, not ${JSON.stringify(url.slice(0, 100))}`);
  }
  const token = options.tokenFile === undefined ? environment['AGENT3_API_TOKEN'] : tokenIn(options.tokenFile, refuse);
  if (token === undefined || token === '') {
    refuse('no token: set AGENT3_API_TOKEN, or name the file that holds it with --token-file');
  }
  if (!/^[\x21-\x7e]+$/.test(token)) refuse('the token must be printable ASCII characters without spaces');
  return new AgentClient(url, token);
}

/** The token alone, or the setting in a file like /etc/agent3/agent3.env. */
function tokenIn(path: string, refuse: (fault: string) => never): string {
  const text = readToken(path, refuse);
  return parseSettings(text)['AGENT3_API_TOKEN'] ?? text.trim();
}

function readToken(path: string, refuse: (fault: string) => never): string {
  try {
    if ((statSync(path).mode & 0o066) !== 0) {
      process.stderr.write(`agent3: warning: ${path} is open to other users; keep it to yourself: chmod 600 ${path}\n`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    return refuse(`the token file ${path} cannot be read: ${describeErrno(error)}`);
  }
}
