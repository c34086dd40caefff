import { parseEnvFile } from '../../ops/env-file.ts';
import { ConsoleFault } from '../console/fault.ts';
import { readPasskeys } from '../console/passkeys.ts';
import { changeSettings } from './installed.ts';
import { PATHS } from './layout.ts';
import { InstallFault } from './machine.ts';

/** What the owner asked of the console. Undefined: as it is, or the default. */
export interface ConsoleOptions {
  /** Whether it is a part of the installation. */
  readonly console?: boolean | undefined;
  /** A name of its own; `false`: none any more. */
  readonly consoleDomain?: string | false | undefined;
}

/** The port of the console at Caddy: with its own port it has its own origin. */
export const CONSOLE_PORT = 8443;
/** Without Caddy: through `ssh -L`, for which browsers allow passkeys as well. */
const LOCAL_URL = `http://localhost:${CONSOLE_PORT}`;

/** How the owner's computer reaches an installed console that only this machine does; undefined: it is public. */
export function consoleTunnel(url: string): string | undefined {
  const { hostname, port } = new URL(url);
  if (!/(?:^|\.)localhost$|^127\.|^\[::1\]$/.test(hostname)) return undefined;
  return `ssh -L ${port || 80}:${PATHS.consoleSocket} root@SERVER`;
}

/** The URL of the console by what its owner asked for; null: it is left out. Throws `InstallFault` for that of the agent. */
export function consoleUrl(...asked: Parameters<typeof urlAsked>): string | null {
  const url = urlAsked(...asked);
  const [, , domain] = asked;
  if (domain !== null && url === `https://${domain.toLowerCase()}`)
    throw new InstallFault(
      `--console-domain must be another name than --domain (${domain}). Without a name of its own, the console is at port ${CONSOLE_PORT}: --no-console-domain`,
    );
  return url;
}

function urlAsked(
  { console, consoleDomain }: ConsoleOptions,
  before: string | null | undefined,
  domain: string | null,
): string | null {
  if (console === false || (console === undefined && consoleDomain === undefined && before === null)) return null;
  if (typeof consoleDomain === 'string') return `https://${consoleDomain.toLowerCase()}`;
  if (consoleDomain === undefined && typeof before === 'string' && /^https:\/\/[^:]+$/.test(before)) return before;
  return domain === null ? LOCAL_URL : `https://${domain.toLowerCase()}:${CONSOLE_PORT}`;
}

const HEAD = `# The owner's console: the key that agent and console share, and its URL. The installer keeps what you change here.
`;

/**
 * `there`, the text of its settings, with what is missing. A URL that is not `before`, the installer's own, is the owner's,
 * and stays unless he has `asked` for another. Without `key` it has none.
 */
export function consoleSettings(
  there: string | undefined,
  { url, before, asked, key }: { url: string; before: string | null | undefined; asked: boolean; key: () => string },
): string {
  const known = parseEnvFile(there ?? '');
  const origin = known['AGENT3_CONSOLE_ORIGIN'];
  const isOwners = !asked && origin && origin !== before;
  return changeSettings(there ?? HEAD, {
    ...(!known['AGENT3_CONSOLE_KEY'] && { AGENT3_CONSOLE_KEY: key() }),
    ...(!isOwners && { AGENT3_CONSOLE_ORIGIN: url }),
  });
}

/** Returns what is pinned in a file of passkeys; undefined without any, or if unusable, which doctor reports. */
export function pinnedPasskeys(path: string): { readonly origin: string; readonly count: number } | undefined {
  try {
    const file = readPasskeys(path, process.geteuid?.());
    return file && { origin: file.origin, count: file.passkeys.length };
  } catch (error) {
    if (error instanceof ConsoleFault) return undefined;
    throw error;
  }
}
