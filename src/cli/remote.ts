import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Command, OptionValues } from '@commander-js/extra-typings';
import { parseEnvFile } from '../../ops/env-file.ts';
import { addressOf } from '../../ops/watchdog/target.ts';
import { AgentClient } from '../client/agent-client.ts';
import { installedSettings } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { describeErrno } from '../lib/errors.ts';
import { processEnvironment } from '../settings/environment.ts';
import { type ExitCode, fail } from './exit.ts';

const DEFAULT_URL = 'http://127.0.0.1:5000';

/** The options of every subcommand that calls an agent. */
export interface RemoteOptions {
  readonly url?: string | undefined;
  readonly tokenFile?: string | undefined;
}

/** Adds the options that name the agent to call, and the file of the token. */
export function withRemote<A extends unknown[], O extends OptionValues>(command: Command<A, O>) {
  return command
    .option('--url <url>', `URL of the agent (default: AGENT3_URL, else ${DEFAULT_URL})`)
    .option('--token-file <file>', 'file with the token, or a settings file of the agent (default: AGENT3_API_TOKEN)');
}

/** The last lines of the help of these subcommands. */
export const REMOTE_HELP = `
--url or AGENT3_URL names the agent. AGENT3_API_TOKEN or --token-file has its token, which is never on the command line,
because every user of this machine can read that. Without these, root calls the agent of this server.`;

/** Returns the agent of the options or the environment, else, for root, that of this server. Exits with `code` without one. */
export function remoteClient(options: RemoteOptions, code: ExitCode): AgentClient {
  const environment = processEnvironment();
  const named = options.url ?? (environment['AGENT3_URL'] || undefined);
  const { tokenFile } = options;
  const given = tokenFile === undefined ? environment['AGENT3_API_TOKEN'] : tokenIn(tokenFile, code);
  const here = named === undefined && !given ? installedAgent() : undefined;
  const url = (named ?? here?.url ?? DEFAULT_URL).replace(/\/+$/, '');
  if (!/^https?:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/.test(url) || !URL.canParse(url)) {
    fail(code, `the URL of an agent has the form https://agent.example.org, not ${JSON.stringify(url.slice(0, 100))}`);
  }
  const token = given || here?.token;
  if (!token) fail(code, `there is no token: set AGENT3_API_TOKEN, or give --token-file${onServer(named)}`);
  if (!/^[\x21-\x7e]+$/.test(token)) {
    const where = tokenFile === undefined ? '' : ` in ${tokenFile}, alone or as AGENT3_API_TOKEN=TOKEN,`;
    fail(code, `the token${where} must be printable ASCII without spaces`);
  }
  return new AgentClient(url, token, { isSelf: here !== undefined });
}

/** Returns the agent of this server; undefined when none is installed, or only root may read its settings. */
function installedAgent(): { readonly url: string; readonly token: string | undefined } | undefined {
  const settings = installedSettings();
  if (!settings['AGENT3_API_TOKEN']) return undefined;
  return { url: addressOf(settings).origin, token: settings['AGENT3_API_TOKEN'] };
}

function onServer(named: string | undefined): string {
  const isInstalled = named === undefined && existsSync(PATHS.manifest) && process.geteuid?.() !== 0;
  return isInstalled ? '. For the agent of this server, run it as root' : '';
}

/** Reads the token from a file with only the token, or from a file like /etc/agent3/agent3.env. */
function tokenIn(path: string, code: ExitCode): string {
  const text = readToken(path, code);
  return parseEnvFile(text)['AGENT3_API_TOKEN'] ?? text.trim();
}

function readToken(path: string, code: ExitCode): string {
  try {
    const stat = statSync(path);
    if (stat.isFile() && (stat.mode & 0o066) !== 0) {
      process.stderr.write(`agent3: warning: other users can read ${path}. To prevent that: chmod 600 ${path}\n`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    fail(code, `the token file ${path} cannot be read: ${describeErrno(error)}`);
  }
}
