import { existsSync, readFileSync } from 'node:fs';
import { parseEnvFile } from '../env-file.ts';

/** The agent to watch. */
export interface Target {
  /** Its unit. */
  readonly unit: string;
  /** `http://127.0.0.1:5000`, without a slash at the end. */
  readonly origin: string;
  readonly token: string;
}

const SETTINGS_FILE = '/etc/agent3/agent3.env';

/**
 * Returns the address and the token of the agent, from the environment (systemd) or from the settings file (cron). Throws
 * an `Error` with what to do when there is no token.
 */
export function readTarget(
  unit: string,
  environment: Readonly<Record<string, string | undefined>>,
  file: string = SETTINGS_FILE,
): Target {
  const values = environment['AGENT3_API_TOKEN'] ? environment : { ...readFile(file), ...environment };
  const token = values['AGENT3_API_TOKEN'];
  if (!token) {
    throw new Error(`there is no token: set AGENT3_API_TOKEN, or run it as root to read ${file}`);
  }
  return { unit, token, origin: addressOf(values).origin };
}

function readFile(path: string): Record<string, string> {
  try {
    return existsSync(path) ? parseEnvFile(readFileSync(path, 'utf8')) : {};
  } catch (error) {
    throw new Error(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The address of an agent. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** True when other machines can reach it without encryption. */
  readonly isOpen: boolean;
  /** URL for this machine, without a slash at the end. */
  readonly origin: string;
}

/** Returns the address of an agent with these settings. */
export function addressOf(values: Readonly<Record<string, string | undefined>>): Address {
  const host = values['AGENT3_HOST'] || '127.0.0.1';
  const port = Number(values['AGENT3_PORT'] || 5000);
  const tls = Boolean(values['AGENT3_TLS_CERT']);
  const isOpen = !tls && !/^127\.|^::1$|^localhost$/.test(host);
  return { host, port, tls, isOpen, origin: `${tls ? 'https' : 'http'}://${reachable(host)}:${port}` };
}

/** An agent that listens on all addresses is asked on loopback. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
