import { parseEnvFile } from '../../ops/env-file.ts';
import { ConsoleFault } from '../console/fault.ts';
import { readPasskeys } from '../console/passkeys.ts';
import { changeSettings } from './installed.ts';
import { PATHS } from './layout.ts';
import { InstallFault } from './machine.ts';

/** What the owner asked for the console. Undefined: unchanged, or the default. */
export interface ConsoleOptions {
  /** Whether the console is installed. */
  readonly console?: boolean | undefined;
  /** Its own name; `false` removes it. */
  readonly consoleDomain?: string | false | undefined;
}

/** Port of the console in Caddy: another port than the agent's makes another origin. */
export const CONSOLE_PORT = 8443;
/** Without Caddy: through `ssh -L`. Browsers allow passkeys on localhost. */
const LOCAL_URL = `http://localhost:${CONSOLE_PORT}`;

/** Returns the ssh command to reach a console that is only on this machine; undefined for a public one. */
export function consoleTunnel(url: string): string | undefined {
  const { hostname, port } = new URL(url);
  if (!/(?:^|\.)localhost$|^127\.|^\[::1\]$/.test(hostname)) return undefined;
  return `ssh -L ${port || 80}:${PATHS.consoleSocket} root@SERVER`;
}

/** Returns the URL of the console as asked for; null without a console. Throws `InstallFault` for the URL of the agent. */
export function consoleUrl(...asked: Parameters<typeof urlAsked>): string | null {
  const url = urlAsked(...asked);
  const [, , domain] = asked;
  if (domain !== null && url === `https://${domain.toLowerCase()}`)
    throw new InstallFault(
      `--console-domain must be another name than --domain (${domain}). To serve the console at port ${CONSOLE_PORT} of that name: --no-console-domain`,
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
 * Returns `there`, the text of its settings, with what is missing. A URL other than `before`, the installer's own, is the
 * owner's, and stays unless the owner `asked` for another. Without `key`, the result has no URL.
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

/** Returns the pinned passkeys; undefined without a usable file, which the doctor reports. */
export function pinnedPasskeys(path: string): { readonly origin: string; readonly count: number } | undefined {
  try {
    const file = readPasskeys(path, process.geteuid?.());
    return file && { origin: file.origin, count: file.passkeys.length };
  } catch (error) {
    if (error instanceof ConsoleFault) return undefined;
    throw error;
  }
}
