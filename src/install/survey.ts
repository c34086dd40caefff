import { statSync } from 'node:fs';
import settingsExample from '../../ops/agent3.env.example' with { type: 'text' };
import { parseEnvFile } from '../../ops/env-file.ts';
import { addressOf } from '../../ops/watchdog/target.ts';
import { MIN_TOKEN_CHARS } from '../lib/limits.ts';
import { newToken } from '../lib/token.ts';
import { hasSystemd } from '../linux/systemd.ts';
import { LOOPBACK_PROXIES, requireCaddy } from './caddy.ts';
import { Changes } from './changes.ts';
import { type ConsoleOptions, consoleUrl } from './console-settings.ts';
import { changeSettings, type Manifest, readManifest } from './installed.ts';
import { BINARY, DEFAULT_USER, PATHS } from './layout.ts';
import {
  entryOf,
  groupOf,
  InstallFault,
  limitsFor,
  logGroupsOf,
  namesIn,
  portFault,
  readFile,
  readText,
  requireSpace,
  unitIs,
  userExists,
} from './machine.ts';
import { type Original, readOriginal } from './original.ts';
import type { PlanInput } from './plan.ts';
import { serviceState } from './service.ts';

/** What the owner asked of the installer. Undefined: unchanged, or the default. */
export interface InstallOptions extends ConsoleOptions {
  readonly user?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly token?: string | undefined;
  /** `false` removes the domain. */
  readonly domain?: string | false | undefined;
  /** Undefined: unchanged, or with a watchdog. */
  readonly watchdog?: boolean | undefined;
  /** Whether all commands of an agent with its own user may read the logs. Undefined: unchanged, or not. */
  readonly lookLogs?: boolean | undefined;
  readonly start: boolean;
  readonly dryRun: boolean;
  /** `/`, or the directory of an image. */
  readonly root: string;
  readonly binary: string;
  /** Whether a package brings the files in `/usr` and `/etc/logrotate.d`, so that only the rest is set up. */
  readonly packaged: boolean;
}

/** As in Debian's package of Caddy. */
const CADDY_GROUP = 'caddy';

/** Space for the copy of the executable, and some more. */
const SPACE_MARGIN_BYTES = 32 * 1_048_576;

/** Everything that is known before the first change. */
export interface Situation {
  readonly options: InstallOptions;
  readonly changes: Changes;
  readonly manifest: Manifest | undefined;
  readonly original: Original | undefined;
  readonly settings: { readonly text: string; readonly values: Record<string, string> };
  readonly newToken: string | undefined;
  readonly isNewKey: boolean;
  readonly input: PlanInput;
  readonly notes: string[];
  /** Whether the owner has disabled the installed agent. */
  readonly isOff: boolean;
  readonly print: (line: string) => void;
}

/** Whether the files go into an image instead of this machine. */
export function isStaged({ root }: InstallOptions): boolean {
  return root !== '/';
}

/** Throws `InstallFault` for a machine on which the service cannot be installed. */
export function requireMachine(options: InstallOptions): void {
  if (isStaged(options)) return;
  if (process.geteuid?.() !== 0 && !options.dryRun) {
    throw new InstallFault('the installer must run as root: sudo agent3 install. To see what it would do: --dry-run');
  }
  if (!hasSystemd() && !options.dryRun) {
    throw new InstallFault(
      'the service needs systemd, which does not run this machine. Without systemd, run AGENT3_API_TOKEN=… agent3 serve under another supervisor. To build an image: --root DIR',
    );
  }
  for (const name of ['domain', 'consoleDomain'] as const) {
    const domain = options[name];
    if (typeof domain === 'string') requireCaddy(domain, name === 'domain' ? '--domain' : '--console-domain');
  }
}

/** Surveys the machine without changes. Throws `InstallFault` when something cannot be taken over. */
export function survey(options: InstallOptions, print: (line: string) => void): Situation {
  const changes = new Changes(options.root, options.dryRun, print);
  const manifest = readManifest(changes.at(PATHS.manifest));
  const original = manifest === undefined ? originalOf(changes) : undefined;
  const there = readText(changes.at(PATHS.settings));
  const known = parseEnvFile(there ?? '');
  const token = options.token ?? (known['AGENT3_API_TOKEN'] ? undefined : (original?.token?.value ?? newToken()));
  if (token !== undefined)
    requireToken(token, options.token === undefined ? `of the agent that is here (${original?.token?.from})` : 'given');
  const isNewKey = !known['AGENT3_AUDIT_KEY'];
  const text = changeSettings(there ?? settingsExample, {
    ...wanted(options, original, there === undefined, token),
    ...wantedUrl(options, manifest, known['AGENT3_PUBLIC_URL']),
    // Made once: another key would not match the existing record.
    ...(isNewKey && { AGENT3_AUDIT_KEY: newToken() }),
    // A key in an image would be the same for every machine made from it.
    ...(!known['AGENT3_GRANT_KEY'] && !isStaged(options) && { AGENT3_GRANT_KEY: newToken() }),
    ...(!known['AGENT3_PUSH_KEY'] && !isStaged(options) && { AGENT3_PUSH_KEY: newToken() }),
  });
  const values = parseEnvFile(text);
  const user = userNamed(options.user) ?? manifest?.user ?? userOf(original, options) ?? DEFAULT_USER;
  const domain = options.domain === false ? null : (options.domain ?? manifest?.domain ?? null);
  const input: PlanInput = {
    user,
    group: user === 'root' || !userExists(user) ? user : groupOf(user),
    port: addressOf(values).port,
    watchdog: watchdogOf(options, manifest),
    packaged: options.packaged,
    domain,
    console: consoleUrl(options, manifest?.console, domain),
    socketGroup: entryOf('group', CADDY_GROUP) === undefined ? 'root' : CADDY_GROUP,
    staged: isStaged(options),
    lookLogs: looksAtLogs(options, manifest, user),
    logGroups: logGroupsOf(readText(changes.at('/etc/group')), isStaged(options)),
    limits: limitsFor(),
    oldLogs: original?.logs ?? manifest?.oldLogs ?? [],
    isHub: !isStaged(options) && values['AGENT3_FLEET_DIR'] === PATHS.fleet,
    isMember: !isStaged(options) && values['AGENT3_HUB_FILE'] === PATHS.hub,
  };
  const notes: string[] = [];
  if (addressOf(values).isOpen && input.domain === null) {
    notes.push(
      `the agent is open to the network without encryption (AGENT3_HOST is ${values['AGENT3_HOST']}), so others can read the token. Better: --host 127.0.0.1 and --domain NAME`,
    );
  }
  const isOff = manifest !== undefined && !isStaged(options) && serviceState().isSwitchedOff;
  return {
    isOff,
    print,
    options,
    changes,
    manifest,
    original,
    settings: { text, values },
    newToken: token,
    isNewKey,
    input,
    notes,
  };
}

/** Returns the log groups, only if the owner asked for them, for that user. Throws `InstallFault` for root. */
function looksAtLogs({ lookLogs }: InstallOptions, manifest: Manifest | undefined, user: string): boolean {
  if (user !== 'root') return lookLogs ?? (manifest?.user === user && manifest.lookLogs !== undefined);
  if (lookLogs !== true) return false;
  throw new InstallFault(
    '--look-logs is for an agent with its own user. An agent that runs as root can read the logs already',
  );
}

/** A timer, which needs no process between checks; cron where systemd has no timers. */
function watchdogOf(options: InstallOptions, manifest: Manifest | undefined): Manifest['watchdog'] {
  const isWanted = options.watchdog ?? manifest?.watchdog !== 'none';
  if (!isWanted) return 'none';
  return isStaged(options) || !hasSystemd() || unitIs('active', 'timers.target') ? 'timer' : 'cron';
}

/** Returns the settings that this run must change. All others stay as they are. */
function wanted(
  options: InstallOptions,
  original: Original | undefined,
  isNew: boolean,
  token: string | undefined,
): Record<string, string> {
  const host = options.host ?? (isNew ? original?.host : undefined);
  const port = options.port ?? (isNew ? original?.port : undefined);
  return {
    ...(token !== undefined && { AGENT3_API_TOKEN: token }),
    ...(host !== undefined && { AGENT3_HOST: host }),
    ...(port !== undefined && { AGENT3_PORT: String(port) }),
    ...(typeof options.domain === 'string' && { AGENT3_TRUSTED_PROXIES: LOOPBACK_PROXIES }),
  };
}

/** Returns the URL at which clients sign in: that of the domain, unless the owner has set another one. */
function wantedUrl(
  { domain }: InstallOptions,
  manifest: Manifest | undefined,
  known: string | undefined,
): Record<string, string> {
  const urlOf = (name: string): string => `https://${name.toLowerCase()}`;
  const before = manifest?.domain ? urlOf(manifest.domain) : undefined;
  if (typeof domain === 'string') return { AGENT3_PUBLIC_URL: urlOf(domain) };
  if (domain === false) return known !== undefined && known === before ? { AGENT3_PUBLIC_URL: '' } : {};
  return before !== undefined && !known ? { AGENT3_PUBLIC_URL: before } : {};
}

/** Throws `InstallFault` when the disk is full or the port is in use. */
export async function requireRoom({ options, settings, original }: Situation): Promise<void> {
  if (isStaged(options) || options.dryRun) return;
  const bytes = statSync(options.binary).size + SPACE_MARGIN_BYTES;
  requireSpace(options.packaged ? PATHS.home : BINARY, options.packaged ? SPACE_MARGIN_BYTES : bytes);
  requireSpace(PATHS.home, SPACE_MARGIN_BYTES);
  requireSpace(PATHS.configuration, 1_048_576);
  const { host, port } = addressOf(settings.values);
  // The agent that is upgraded, or the original that is replaced, uses the port itself.
  const usual = addressOf(original === undefined ? parseEnvFile(readText(PATHS.settings) ?? '') : {}).port;
  const isOwn = serviceState().isActive && (original?.port ?? usual) === port;
  if (isOwn && options.host === undefined) return;
  const fault = await portFault(host, port);
  if (fault === undefined) return;
  if (fault === 'EADDRINUSE') {
    if (isOwn) return;
    throw new InstallFault(
      `another program uses port ${port} on ${host} (ss -ltnp shows it). Choose another port with --port. Nothing was changed`,
    );
  }
  throw new InstallFault(
    `${host} is not an address of this machine (${fault}). Give --host one, such as 127.0.0.1 or 0.0.0.0. Nothing was changed`,
  );
}

/** Returns the name of a user, also for a number. Throws `InstallFault` for an unknown one. */
function userNamed(given: string | undefined): string | undefined {
  if (given === undefined || !/^\d*$/.test(given)) return given;
  const name = entryOf('passwd', given)?.[0];
  if (given === '' || !name) throw new InstallFault(`there is no user ${JSON.stringify(given)}. Give --user a name`);
  return name;
}

const MAX_TOKEN_CHARS = 512;

/** Returns the drop-ins of the original's unit, which would also apply to the new one. */
export function dropInsOf(changes: Changes): string[] {
  const names = namesIn(changes.at(PATHS.dropIns));
  return names.filter((name) => name.endsWith('.conf')).map((name) => `${PATHS.dropIns}/${name}`);
}

/** Returns the agent that is replaced, with the drop-ins of its unit. */
function originalOf(changes: Changes): Original | undefined {
  const unit = readText(changes.at(PATHS.unit));
  if (unit === undefined) return undefined;
  const more = dropInsOf(changes).map((path) => readText(changes.at(path)) ?? '');
  return readOriginal([unit, ...more].join('\n'), (path) => readFile(changes.at(path)));
}

/** Returns the user of the original; undefined when it does not exist, as for a dynamic user of systemd. */
function userOf(original: Original | undefined, options: InstallOptions): string | undefined {
  const user = userNamed(original?.user);
  return user !== undefined && (user === 'root' || isStaged(options) || userExists(user)) ? user : undefined;
}

/** Throws `InstallFault` for a token that the agent would refuse. */
function requireToken(token: string, origin: string): void {
  const fault = tokenFault(token);
  if (fault === undefined) return;
  throw new InstallFault(
    `the token ${origin} cannot be used: ${fault}. A token has 16 to 512 printable ASCII characters without spaces. Make one with agent3 token new, give it with --token, and enter it in your client`,
  );
}

function tokenFault(token: string): string | undefined {
  const strange = /[^\x21-\x7e]/u.exec(token)?.[0];
  if (strange !== undefined) {
    return /\s/.test(strange) ? 'it has a space in it' : `it has the character ${JSON.stringify(strange)} in it`;
  }
  if (token.length < MIN_TOKEN_CHARS) return `it has ${token.length} characters`;
  return token.length > MAX_TOKEN_CHARS ? `it has ${token.length} characters` : undefined;
}
