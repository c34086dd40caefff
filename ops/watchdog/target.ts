import { existsSync, readFileSync } from 'node:fs';
import { parseEnvFile } from '../env-file.ts';

/** The agent that is watched. */
export interface Target {
  /** Its unit. */
  readonly unit: string;
  /** `http://127.0.0.1:5000`, without a slash at the end. */
  readonly origin: string;
  readonly token: string;
}

const SETTINGS_FILE = '/etc/agent3/agent3.env';

/**
 * Where the agent listens and its token, from the environment, as a systemd unit has it, or from the settings file, as
 * cron needs it. Throws an `Error` with what to do when there is no token.
 */
export function readTarget(
  unit: string,
  environment: Readonly<Record<string, string | undefined>>,
  file: string = SETTINGS_FILE,
): Target {
  const values = environment['AGENT3_API_TOKEN'] ? environment : { ...readFile(file), ...environment };
  const token = values['AGENT3_API_TOKEN'];
  if (!token) {
    throw new Error(`no token: set AGENT3_API_TOKEN, or run as root where ${file} has it`);
  }
  return { unit, token, origin: addressOf(values).origin };
}

function readFile(path: string): Record<string, string> {
  return existsSync(path) ? parseEnvFile(readFileSync(path, 'utf8')) : {};
}

/** Where an agent listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** It can be reached from elsewhere without encryption. */
  readonly isOpen: boolean;
  /** How this machine reaches it, without a slash at the end. */
  readonly origin: string;
}

/** Where an agent with these settings listens. */
export function addressOf(values: Readonly<Record<string, string | undefined>>): Address {
  const host = values['AGENT3_HOST'] || '127.0.0.1';
  const port = Number(values['AGENT3_PORT'] || 5000);
  const tls = Boolean(values['AGENT3_TLS_CERT']);
  const isOpen = !tls && !/^127\.|^::1$|^localhost$/.test(host);
  return { host, port, tls, isOpen, origin: `${tls ? 'https' : 'http'}://${reachable(host)}:${port}` };
}

/** An agent that listens everywhere is asked on loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
