import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { runCommand } from '../../ops/watchdog/command.ts';
import { addressOf } from '../../ops/watchdog/target.ts';
import { hasSealedLines } from '../audit/resume.ts';
import { waitFor } from '../lib/clock.ts';
import { hasSystemd } from '../linux/systemd.ts';
import { hideSecretSettings } from '../settings/config.ts';
import { version } from '../version.ts';
import { removeSite } from './caddy.ts';
import type { Changes } from './changes.ts';
import { leaveConsole, putConsoleSettings, putPage, startConsole } from './console.ts';
import { startFleet } from './fleet.ts';
import type { Manifest } from './installed.ts';
import { additions, hasConsole, hasConsoleSite } from './inventory.ts';
import {
  BINARY,
  BINARY_ACCESS,
  BUS,
  COMMANDS,
  CONSOLE_UNITS,
  CONSOLE_USER,
  PATHS,
  SERVICE,
  WATCHDOG_SERVICE,
  WATCHDOG_TIMER,
} from './layout.ts';
import { InstallFault, takeLock, unitIs } from './machine.ts';
import { type PlanInput, plannedDirectories, plannedFiles, refuseForeign, writeFiles } from './plan.ts';
import { publish } from './publish.ts';
import { countCommands, runsOldExecutable, type Service, serviceState, versionOn, whyNot } from './service.ts';
import { type InstallOptions, isStaged, requireMachine, requireRoom, type Situation, survey } from './survey.ts';
import { originalFiles, renewRestore, saveOriginal } from './takeover.ts';
import { handOver, homeNow, makeUsers } from './users.ts';

/** The result of an installation. */
export interface Installed {
  readonly kind: 'installed' | 'upgraded' | 'unchanged' | 'planned' | 'nothing' | 'staged';
  /** The version before. */
  readonly before: string | undefined;
  readonly url: string;
  /** Set only when it was made or taken over in this run, to show it once. */
  readonly token: string | undefined;
  readonly manifest: Manifest;
  readonly started: boolean;
  readonly notes: readonly string[];
}

/** How long an upgrade waits for commands, which end within this time by the agent's default limit. */
const COMMANDS_SECONDS = 50;
/** systemd's own limit for the start is 60 s. */
const HEALTH_SECONDS = 60;
const LOOK_MS = 250;
const COMMANDS_LOOK_MS = 1000;

/** Installs or upgrades the service. Throws `InstallFault`, after undoing all changes. */
export async function install(options: InstallOptions, print: (line: string) => void): Promise<Installed> {
  requireMachine(options);
  if (!isStaged(options) && !options.dryRun) takeLock();
  const situation = survey(options, print);
  const { changes } = situation;
  await requireRoom(situation);
  const before = isStaged(options) ? undefined : serviceState();
  try {
    const manifest = put(situation);
    const started = before !== undefined && (await run(situation, before));
    if (options.dryRun) return result(situation, changes.count > 0 ? 'planned' : 'nothing', manifest);
    if (before === undefined) {
      changes.commit();
      return result(situation, 'staged', manifest);
    }
    const kind = changes.count === 0 ? 'unchanged' : situation.manifest === undefined ? 'installed' : 'upgraded';
    changes.commit();
    return { ...result(situation, kind, manifest), started };
  } catch (error) {
    if (options.dryRun) throw error;
    print('the installation failed, and all changes were undone');
    const isAsBefore = before === undefined || changes.count === 0;
    changes.undo();
    if (!isAsBefore) await goBack(before.isActive, situation);
    throw error;
  }
}

/** Writes all files and directories, and makes the users. Returns the new manifest. */
function put(situation: Situation): Manifest {
  const { options, changes, manifest, original, settings, input, notes } = situation;
  const files = plannedFiles(input);
  const staged = isStaged(options);
  // `agent3 fleet init` has written the unit of NATS, and no manifest has it yet.
  const mayReplace = [PATHS.natsUnit, ...(original === undefined ? [] : originalFiles(changes))];
  refuseForeign(files, manifest, changes, new Set(mayReplace));
  if (!options.packaged) refuseForeignExecutable(situation);
  if (!staged) requireAgent(options);
  const lookLogs = makeUsers(situation);
  const home = homeNow(changes);
  for (const { path, access } of plannedDirectories(input)) {
    // Files of the console are made when the image boots: in another user's directory, ownership cannot be set safely.
    if (!staged) changes.directory(path, access);
    else if (access.owner !== CONSOLE_USER) changes.directory(path, { mode: access.mode });
  }
  if (original === undefined) renewRestore(changes);
  else saveOriginal(situation, original);
  if (options.domain === false && manifest?.domain) removeSite(changes, PATHS.caddySite);
  if (hasConsoleSite(manifest ?? {}) && !hasConsoleSite(input)) removeSite(changes, PATHS.consoleSite);
  if (options.packaged) changes.remove(BINARY);
  else changes.executable(BINARY, options.binary, BINARY_ACCESS);
  if (!staged) handOver(changes, input, home, manifest);
  const page = hasConsole(input) && !options.packaged ? putPage(changes) : {};
  const { sums, kept } = writeFiles(files, original === undefined ? manifest : undefined, changes);
  for (const path of kept) notes.push(`kept as you changed it: ${path}`);
  if (manifest?.watchdog === 'timer' && input.watchdog !== 'timer' && !staged) {
    // While its file exists.
    changes.command(['systemctl', 'disable', '--quiet', '--now', WATCHDOG_TIMER]);
  }
  if (hasConsole(manifest ?? {}) && !hasConsole(input) && !staged) leaveConsole(changes);
  const current = new Set([...files.map(({ path }) => path), ...Object.keys(page)]);
  for (const path of Object.keys(manifest?.files ?? {})) if (!current.has(path)) changes.remove(path);
  keepRecordOfLostKey(situation);
  changes.file(PATHS.settings, settings.text, { mode: 0o600 }, hideSecretSettings(settings.text));
  if (hasConsole(input)) putConsoleSettings(situation);
  if (staged) enableStaged(changes, input);
  const next: Manifest = {
    version,
    files: { ...sums, ...page },
    user: input.user,
    watchdog: input.watchdog,
    domain: input.domain,
    oldLogs: [...input.oldLogs],
    packaged: options.packaged,
    console: input.console ?? null,
    ...(lookLogs !== undefined && { lookLogs }),
  };
  changes.file(PATHS.manifest, `${JSON.stringify(next, null, 2)}\n`, { mode: 0o644 });
  return next;
}

/** Throws `InstallFault` for an executable that is not Agent3. One for another architecture cannot be checked. */
function requireAgent({ binary }: InstallOptions): void {
  if (binary === process.execPath) return;
  const { stdout } = runCommand([binary, '--version'], 10);
  if (!/^agent3 \d/.test(stdout)) throw new InstallFault(`${binary} is not an Agent3 that this machine can run`);
}

/** Refuses to replace another program of the same name. */
function refuseForeignExecutable({ options, changes, manifest }: Situation): void {
  const path = changes.at(BINARY);
  if (manifest !== undefined || statSync(path, { throwIfNoEntry: false }) === undefined) return;
  if (options.binary === path) return;
  const { stdout } = runCommand([path, '--version'], 10);
  if (/^agent3 \d/.test(stdout)) return;
  throw new InstallFault(`${BINARY} exists and is not Agent3. Move it away, then run the installer again`);
}

function enableStaged(changes: Changes, input: PlanInput): void {
  for (const { name } of additions(input, 'link')) changes.link(name, `${dirname(PATHS.unit)}/${basename(name)}`);
}

/** Enables and starts the service. Returns true when the agent runs. A dry run prints the same steps. */
async function run(situation: Situation, before: Service): Promise<boolean> {
  const { options, changes, notes, input, isOff } = situation;
  const wasActive = before.isActive;
  const changed = changes.count > 0;
  if (changed) changes.command(['systemctl', 'daemon-reload']);
  if (changed && [input.user, situation.manifest?.user].includes('root')) reloadBus(changes);
  if (isOff) {
    notes.push('the service was disabled and stays disabled. To start it: systemctl enable --now agent3');
    return wasActive;
  }
  if (!before.isEnabled) {
    changes.command(
      ['systemctl', 'enable', '--quiet', SERVICE],
      () => void runCommand(['systemctl', 'disable', SERVICE]),
    );
  }
  setWatchdog(situation);
  startConsole(situation, changed);
  startFleet(situation);
  if (!options.start) return wasActive;
  if (changed || !wasActive || runsOldExecutable(before)) {
    if (wasActive) await letCommandsEnd(situation);
    // The cgroup of commands belongs to their user.
    const isOther = (situation.manifest?.user ?? input.user) !== input.user;
    startService(changes, wasActive, isOther ? [COMMANDS, SERVICE] : [SERVICE]);
  }
  const { origin } = addressOf(situation.settings.values);
  if (!changes.dryRun && (await waitFor(() => versionOn(origin), HEALTH_SECONDS, LOOK_MS)) === undefined) {
    throw new InstallFault(`the agent was started, but does not answer.\n${whyNot()}`);
  }
  // Writes the first line of the watchdog's log now.
  if (!wasActive && input.watchdog === 'timer') {
    changes.command(['systemctl', 'start', '--no-block', WATCHDOG_SERVICE]);
  }
  await publish(situation, origin);
  return true;
}

/** Reloads the policy of the bus, with the current number of its user. */
function reloadBus(changes: Changes): void {
  if (unitIs('active', BUS)) changes.command(['systemctl', 'reload', '--no-block', BUS]);
}

/** Starts the service and waits until it is ready. When it does not start, its last log lines are the reason. */
function startService(changes: Changes, wasActive: boolean, units: readonly string[]): void {
  try {
    changes.command(['systemctl', wasActive ? 'restart' : 'start', ...units]);
  } catch {
    throw new InstallFault(
      `the agent does not start: ${whyNot()}\nIf a setting is wrong, correct it in ${PATHS.settings}, then run: systemctl restart agent3`,
    );
  }
}

function setWatchdog({ options, changes, input, notes }: Situation): void {
  const isEnabled = unitIs('enabled', WATCHDOG_TIMER);
  if (input.watchdog === 'timer' && !isEnabled) {
    // Without a start, which would start the agent.
    const now = options.start ? ['--now'] : [];
    changes.command(['systemctl', 'enable', '--quiet', ...now, WATCHDOG_TIMER], () => {
      runCommand(['systemctl', 'disable', '--quiet', '--now', WATCHDOG_TIMER]);
    });
  }
  const isIdle = ![SERVICE, WATCHDOG_TIMER].some((unit) => unitIs('active', unit));
  // What was installed with --no-start starts together with the agent.
  if (input.watchdog === 'timer' && isEnabled && isIdle && options.start) {
    changes.command(
      ['systemctl', 'start', WATCHDOG_TIMER],
      () => void runCommand(['systemctl', 'stop', WATCHDOG_TIMER]),
    );
  }
  if (input.watchdog === 'cron') {
    notes.push(`systemd has no timers here, so cron runs the watchdog (${PATHS.watchdogCron})`);
  }
  if (input.watchdog === 'none') notes.push('there is no watchdog: only systemd restarts the agent');
}

/** Waits for commands, which would otherwise end without an exit code for their callers. */
async function letCommandsEnd({ changes, notes, print }: Situation): Promise<void> {
  const { waitedFor } = serviceState();
  if (waitedFor === 0) return;
  print(`wait up to ${COMMANDS_SECONDS} s for running commands (${waitedFor})`);
  if (changes.dryRun) return;
  const haveEnded = () => serviceState().waitedFor === 0 || undefined;
  if (await waitFor(haveEnded, COMMANDS_SECONDS, COMMANDS_LOOK_MS)) return;
  notes.push(
    `${countCommands(serviceState().waitedFor)} still ran at the restart. What continues has no exit code at its end`,
  );
}

/** Restores the state of the service, after the files were restored. */
async function goBack(wasActive: boolean, situation: Situation): Promise<void> {
  if (!hasSystemd()) return;
  runCommand(['systemctl', 'daemon-reload']);
  if (!wasActive) return void runCommand(['systemctl', 'stop', SERVICE]);
  runCommand(['systemctl', 'restart', SERVICE]);
  if (hasConsole(situation.manifest ?? {})) runCommand(['systemctl', 'start', ...CONSOLE_UNITS]);
  if (situation.original !== undefined) return;
  const { origin } = addressOf(situation.settings.values);
  await waitFor(() => versionOn(origin), HEALTH_SECONDS, LOOK_MS);
}

function result(situation: Situation, kind: Installed['kind'], manifest: Manifest): Installed {
  const local = `${addressOf(situation.settings.values).origin}/`;
  const { domain } = situation.input;
  return {
    kind,
    url: domain === null ? local : `https://${domain}/`,
    token: situation.newToken,
    manifest,
    started: false,
    before: situation.manifest?.version,
    notes: situation.notes,
  };
}

const NAME = /^audit\.jsonl/;

/** Moves a record away whose key is lost: with another key, each of its lines would look forged. */
function keepRecordOfLostKey({ options, changes, isNewKey, notes }: Situation, now = new Date()): void {
  if (!isNewKey || isStaged(options) || !existsSync(PATHS.audit) || !hasSealedLines(PATHS.audit)) return;
  const place = `${PATHS.logs}/record-until-${now.toISOString().slice(0, 19).replaceAll(':', '')}`;
  const files = readdirSync(PATHS.logs)
    .filter((name) => NAME.test(name))
    .map((name) => `${PATHS.logs}/${name}`);
  changes.directory(place, { mode: 0o700 });
  // An append-only file cannot be moved either. A running agent continues in it until it is restarted.
  const free = `chattr -a ${PATHS.audit} 2>/dev/null`;
  changes.command(['sh', '-c', `${free}; mv ${files.join(' ')} ${place}`], () => {
    runCommand(['sh', '-c', `mv ${place}/* ${PATHS.logs}; chattr +a ${PATHS.audit} 2>/dev/null`]);
  });
  notes.push(
    `AGENT3_AUDIT_KEY was missing in ${PATHS.settings}, so a new one was made and a new record begins. The old record was sealed with the lost key and is kept in ${place}. To check it with the old key: AGENT3_AUDIT_KEY=… agent3 audit verify --file ${place}/audit.jsonl`,
  );
}
