import { readlinkSync } from 'node:fs';
import { parseEnvFile } from '../../ops/env-file.ts';
import { askHealth } from '../../ops/watchdog/check.ts';
import { runCommand } from '../../ops/watchdog/command.ts';
import { readService, type ServiceState, unitProperties } from '../../ops/watchdog/service.ts';
import { addressOf } from '../../ops/watchdog/target.ts';
import { describeFleet, type FleetStatus, parseServiceStatus } from '../lib/service-status.ts';
import { pinnedPasskeys } from './console-settings.ts';
import { below } from './disk.ts';
import { installedBinary, type Manifest, readManifest } from './installed.ts';
import { PATHS, SERVICE } from './layout.ts';
import { InstallFault, readText } from './machine.ts';

/** The state of the installed service, from systemd and the agent. */
export interface Service extends ServiceState, FleetStatus {
  /** Number of commands, with left-over processes. */
  readonly commands: number;
  /** Whether the server is frozen. */
  readonly isFrozen: boolean;
  /** Number of commands that a restart would end. */
  readonly waitedFor: number;
}

/** Asks systemd for the state of the service. */
export function serviceState(): Service {
  const state = readService(SERVICE);
  const { outliving, ...status } = parseServiceStatus(state.statusText);
  const { commands, isFrozen } = status;
  // Frozen commands do not end, so a restart does not wait for them.
  return { ...state, ...status, waitedFor: isFrozen ? 0 : commands - outliving };
}

/** Returns a number of commands in words. */
export function countCommands(count: number): string {
  return count === 1 ? '1 command' : `${count} commands`;
}

/** Returns true when the running agent was started from an executable that was replaced, for example by a package. */
export function runsOldExecutable({ pid }: ServiceState): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`).endsWith(' (deleted)');
  } catch {
    // It does not run.
    return false;
  }
}

/** Returns the version of the agent that answers at `origin`; undefined when none does. */
export async function versionOn(origin: string): Promise<string | undefined> {
  const health = await askHealth(origin);
  return 'version' in health ? health.version : undefined;
}

/** Describes why the service does not run: its state in systemd, and its last log lines when it failed. */
export function whyNot(): string {
  const { InvocationID: id, ...shown } = unitProperties(
    SERVICE,
    ...(['ActiveState', 'SubState', 'Result', 'ExecMainStatus', 'InvocationID'] as const),
  );
  runCommand(['journalctl', '--sync']);
  // Only from its last start, and from its own processes.
  const said = runCommand(['journalctl', '--quiet', '-o', 'cat', '-n', '10', `_SYSTEMD_INVOCATION_ID=${id}`]);
  const state = Object.entries(shown).map(([name, value]) => `${name}=${value}`);
  return [state.join(' '), ...lastLogLines(shown.Result, said.stdout)].join('\n');
}

const LAST_LINES = 3;

/** Returns the last log lines of a service, each once; none when it was stopped normally. */
export function lastLogLines(result: string, text: string): string[] {
  if (result === 'success') return [];
  const lines = text.split('\n').filter((line) => line !== '');
  return [...new Set(lines.slice(-LAST_LINES))];
}

/** What is installed on a machine. */
export interface Installed {
  readonly binary: string;
  /** The version of the executable; null when it cannot be run. */
  readonly version: string | null;
  readonly user: string;
  readonly url: string;
  readonly watchdog: Manifest['watchdog'];
  readonly domain: string | null;
  /** The URL of the owner's console, and the number of pinned passkeys; null without a console. */
  readonly console: { readonly url: string; readonly passkeys: number } | null;
  /** Null for an image. */
  readonly service: {
    readonly active: boolean;
    readonly starts_at_boot: boolean;
    readonly commands: number;
    readonly frozen: boolean;
    /** The version that answers at the URL; null when none does. */
    readonly answers: string | null;
    /** Its connections in a fleet; missing without one. */
    readonly fleet?: string;
  } | null;
}

/** Describes what is installed below `root`; undefined when nothing is. Throws `InstallFault` when only root may read it. */
export async function lookAtInstalled(root: string): Promise<Installed | undefined> {
  const manifest = readManifest(below(root, PATHS.manifest));
  if (manifest === undefined) return undefined;
  if (root === '/' && process.geteuid?.() !== 0) throw new InstallFault('run it as root: sudo agent3 status');
  const binary = installedBinary(manifest);
  const { stdout } = runCommand([below(root, binary), '--version'], 10);
  const { origin } = addressOf(parseEnvFile(readText(below(root, PATHS.settings)) ?? ''));
  const { user, watchdog, domain } = manifest;
  return {
    binary,
    version: stdout.trim() || null,
    user,
    url: `${origin}/healthz`,
    watchdog,
    domain,
    console: lookAtConsole(root, manifest),
    service: root === '/' ? await lookAtService(origin) : null,
  };
}

function lookAtConsole(root: string, { console }: Manifest): Installed['console'] {
  if (typeof console !== 'string') return null;
  const set = parseEnvFile(readText(below(root, PATHS.consoleSettings)) ?? '')['AGENT3_CONSOLE_ORIGIN'];
  const url = set || console;
  const pinned = pinnedPasskeys(below(root, PATHS.passkeys));
  // Those of another URL do not count.
  return { url, passkeys: pinned?.origin === url ? pinned.count : 0 };
}

async function lookAtService(origin: string): Promise<Installed['service']> {
  const state = serviceState();
  const { isActive, isEnabled, commands, isFrozen: frozen } = state;
  const fleet = describeFleet(state);
  const answers = (await versionOn(origin)) ?? null;
  return { active: isActive, starts_at_boot: isEnabled, commands, frozen, answers, ...(fleet && { fleet }) };
}

/** Formats the same in a few lines. */
export function describeInstalled({
  binary,
  version,
  user,
  url,
  watchdog,
  domain,
  console,
  service,
}: Installed): string {
  const about = `binary     ${binary}: ${version ?? 'cannot be run here'}`;
  if (service === null) return `${about}\nuser       ${user}\nstaged, for ${url}`;
  const { active, starts_at_boot, commands, frozen, answers, fleet } = service;
  return [
    about,
    `service    ${active ? 'active' : 'not active'}, ${starts_at_boot ? 'starts at boot' : 'does not start at boot'}, ${countCommands(commands)} ${frozen ? 'frozen (agent3 thaw)' : 'running'}`,
    `answers    ${answers === null ? 'no' : `version ${answers}`} on ${url}`,
    ...(fleet === undefined ? [] : [`fleet      ${fleet}`]),
    `user       ${user}`,
    `watchdog   ${watchdog}`,
    ...(domain === null ? [] : [`domain     ${domain}`]),
    `console    ${console === null ? 'none' : `${console.url}, passkeys: ${console.passkeys} (to add one: agent3 console link)`}`,
  ].join('\n');
}
