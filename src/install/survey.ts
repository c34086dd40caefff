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

/** What the owner asked of the installer. Undefined: as it is, or the default. */
export interface InstallOptions extends ConsoleOptions {
  readonly user?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly token?: string | undefined;
  /** `false`: no domain any more. */
  readonly domain?: string | false | undefined;
  /** Undefined: as it is, or with one. */
  readonly watchdog?: boolean | undefined;
  /** Whether every command of an agent with a user of its own reads the logs. Undefined: as it is, or not. */
  readonly lookLogs?: boolean | undefined;
  readonly start: boolean;
  readonly dryRun: boolean;
  /** `/`, or the directory to stage into. */
  readonly root: string;
  readonly binary: string;
  /** The files in `/usr` and `/etc/logrotate.d` come from a package; only the rest is set up. */
  readonly packaged: boolean;
}

/** As Debian's package of Caddy makes it. */
const CADDY_GROUP = 'caddy';

/** The copy of the executable, and some more. */
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
  /** The owner has switched the installed agent off for good. */
  readonly isOff: boolean;
  readonly print: (line: string) => void;
}

/** Whether the files go into a directory, for an image, and not onto this machine. */
export function isStaged({ root }: InstallOptions): boolean {
  return root !== '/';
}

/** Throws `InstallFault` for a machine that the service cannot be set up on. */
export function requireMachine(options: InstallOptions): void {
  if (isStaged(options)) return;
  if (process.geteuid?.() !== 0 && !options.dryRun) {
    throw new InstallFault('the installer has to run as root: sudo agent3 install. To see what it would do: --dry-run');
  }
  if (!hasSystemd() && !options.dryRun) {
    throw new InstallFault(
      'systemd does not run this machine, and the service needs it. Without it: AGENT3_API_TOKEN=… agent3 serve, kept alive by what runs this machine; --root DIR stages the files',
    );
  }
  for (const name of ['domain', 'consoleDomain'] as const) {
    const domain = options[name];
    if (typeof domain === 'string') requireCaddy(domain, name === 'domain' ? '--domain' : '--console-domain');
  }
}

/** Looks at the machine; changes nothing. Throws `InstallFault` for what cannot be taken over. */
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
    // Made once: another key would not fit the record that is there.
    ...(isNewKey && { AGENT3_AUDIT_KEY: newToken() }),
    // In an image, every machine that is made from it would have the same key.
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
  };
  const notes: string[] = [];
  if (addressOf(values).isOpen && input.domain === null) {
    notes.push(
      `it is open to the network without encryption (AGENT3_HOST is ${values['AGENT3_HOST']}): the token can be read on its way. Better: --host 127.0.0.1 and --domain NAME`,
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

/** Only where its owner asked for it, and for the user that it was asked for. Throws `InstallFault` for root. */
function looksAtLogs({ lookLogs }: InstallOptions, manifest: Manifest | undefined, user: string): boolean {
  if (user !== 'root') return lookLogs ?? (manifest?.user === user && manifest.lookLogs !== undefined);
  if (lookLogs !== true) return false;
  throw new InstallFault(
    '--look-logs is for an agent with a user of its own: root, and its readonly commands, read the logs',
  );
}

/** A timer, which leaves no process sleeping between the checks; cron where systemd runs no timers. */
function watchdogOf(options: InstallOptions, manifest: Manifest | undefined): Manifest['watchdog'] {
  const isWanted = options.watchdog ?? manifest?.watchdog !== 'none';
  if (!isWanted) return 'none';
  return isStaged(options) || !hasSystemd() || unitIs('active', 'timers.target') ? 'timer' : 'cron';
}

/** The settings that this run has to change; all others stay as the owner has them. */
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

/** The URL that clients sign in at: that of the domain, unless the owner has set another one. */
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

/** Throws `InstallFault` when the disk or the port has no room. */
export async function requireRoom({ options, settings, original }: Situation): Promise<void> {
  if (isStaged(options) || options.dryRun) return;
  const bytes = statSync(options.binary).size + SPACE_MARGIN_BYTES;
  requireSpace(options.packaged ? PATHS.home : BINARY, options.packaged ? SPACE_MARGIN_BYTES : bytes);
  requireSpace(PATHS.home, SPACE_MARGIN_BYTES);
  requireSpace(PATHS.configuration, 1_048_576);
  const { host, port } = addressOf(settings.values);
  // The agent that is upgraded, or the original that is replaced, holds its port itself.
  const usual = addressOf(original === undefined ? parseEnvFile(readText(PATHS.settings) ?? '') : {}).port;
  const isOwn = serviceState().isActive && (original?.port ?? usual) === port;
  if (isOwn && options.host === undefined) return;
  const fault = await portFault(host, port);
  if (fault === undefined) return;
  if (fault === 'EADDRINUSE') {
    if (isOwn) return;
    throw new InstallFault(
      `port ${port} on ${host} is taken by another program (ss -ltnp shows it); choose another one with --port. Nothing was changed`,
    );
  }
  throw new InstallFault(
    `${host} is no address of this machine (${fault}); --host takes one, such as 127.0.0.1 or 0.0.0.0. Nothing was changed`,
  );
}

/** A user by its name, also where its number was given. Throws `InstallFault` for a number that nobody has. */
function userNamed(given: string | undefined): string | undefined {
  if (given === undefined || !/^\d*$/.test(given)) return given;
  const name = entryOf('passwd', given)?.[0];
  if (given === '' || !name) throw new InstallFault(`there is no user ${JSON.stringify(given)}; --user takes a name`);
  return name;
}

const MAX_TOKEN_CHARS = 512;

/** What the owner of the original has added to its unit: it would hold for the new one as well. */
export function dropInsOf(changes: Changes): string[] {
  const names = namesIn(changes.at(PATHS.dropIns));
  return names.filter((name) => name.endsWith('.conf')).map((name) => `${PATHS.dropIns}/${name}`);
}

/** The agent that this one takes the place of, with what its owner has added to its unit. */
function originalOf(changes: Changes): Original | undefined {
  const unit = readText(changes.at(PATHS.unit));
  if (unit === undefined) return undefined;
  const more = dropInsOf(changes).map((path) => readText(changes.at(path)) ?? '');
  return readOriginal([unit, ...more].join('\n'), (path) => readFile(changes.at(path)));
}

/** Whose commands keep what they could do; undefined where there is no such user, as with one that systemd makes. */
function userOf(original: Original | undefined, options: InstallOptions): string | undefined {
  const user = userNamed(original?.user);
  return user !== undefined && (user === 'root' || isStaged(options) || userExists(user)) ? user : undefined;
}

/** Throws `InstallFault` for a token that the agent would refuse. */
function requireToken(token: string, origin: string): void {
  const fault = tokenFault(token);
  if (fault === undefined) return;
  throw new InstallFault(
    `the token ${origin} cannot be used: ${fault}. Agent3 takes 16 to 512 letters, digits and signs of ASCII without spaces. Make one with agent3 token new, give it with --token, and enter it in your client`,
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
