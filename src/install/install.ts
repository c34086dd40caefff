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
import { runsOldExecutable, type Service, serviceState, versionOn, whyNot } from './service.ts';
import { type InstallOptions, isStaged, requireMachine, requireRoom, type Situation, survey } from './survey.ts';
import { originalFiles, renewRestore, saveOriginal } from './takeover.ts';
import { handOver, homeNow, makeUsers } from './users.ts';

/** How an installation ended. */
export interface Installed {
  readonly kind: 'installed' | 'upgraded' | 'unchanged' | 'planned' | 'nothing' | 'staged';
  /** The version that was installed before. */
  readonly before: string | undefined;
  readonly url: string;
  /** Only when it was made or taken over in this run: it is shown once. */
  readonly token: string | undefined;
  readonly manifest: Manifest;
  readonly started: boolean;
  readonly notes: readonly string[];
}

/** Commands end within this time by the agent's default limit: an upgrade waits for them. */
const COMMANDS_SECONDS = 50;
/** systemd's own limit for the start is 60 s. */
const HEALTH_SECONDS = 60;
const LOOK_MS = 250;
const COMMANDS_LOOK_MS = 1000;

/** Installs or upgrades the service. Throws `InstallFault`; then nothing is changed, or everything was put back. */
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
    print('the installation failed; everything is put back');
    const isAsBefore = before === undefined || changes.count === 0;
    changes.undo();
    if (!isAsBefore) await goBack(before.isActive, situation);
    throw error;
  }
}

/** Writes every file and directory, and makes the users; returns the new manifest. */
function put(situation: Situation): Manifest {
  const { options, changes, manifest, original, settings, input, notes } = situation;
  const files = plannedFiles(input);
  const staged = isStaged(options);
  refuseForeign(files, manifest, changes, new Set(original === undefined ? [] : originalFiles(changes)));
  if (!options.packaged) refuseForeignExecutable(situation);
  if (!staged) requireAgent(options);
  const lookLogs = makeUsers(situation);
  const home = homeNow(changes);
  for (const { path, access } of plannedDirectories(input)) {
    // What is the console's is made when the image boots: inside of a directory of another user, nothing can be handed over.
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
    // As long as its file is there.
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

/** Throws `InstallFault` for an executable that is no Agent3; one for another machine cannot be asked. */
function requireAgent({ binary }: InstallOptions): void {
  if (binary === process.execPath) return;
  const { stdout } = runCommand([binary, '--version'], 10);
  if (!/^agent3 \d/.test(stdout)) throw new InstallFault(`${binary} is no Agent3 that this machine can run`);
}

/** A program of another origin under the same name is not replaced. */
function refuseForeignExecutable({ options, changes, manifest }: Situation): void {
  const path = changes.at(BINARY);
  if (manifest !== undefined || statSync(path, { throwIfNoEntry: false }) === undefined) return;
  if (options.binary === path) return;
  const { stdout } = runCommand([path, '--version'], 10);
  if (/^agent3 \d/.test(stdout)) return;
  throw new InstallFault(`${BINARY} is there and is no Agent3; move it away, then run the installer again`);
}

function enableStaged(changes: Changes, input: PlanInput): void {
  for (const { name } of additions(input, 'link')) changes.link(name, `${dirname(PATHS.unit)}/${basename(name)}`);
}

/** Enables and starts what was installed; true when the agent runs. A dry run reports the same steps. */
async function run(situation: Situation, before: Service): Promise<boolean> {
  const { options, changes, notes, input, isOff } = situation;
  const wasActive = before.isActive;
  const changed = changes.count > 0;
  if (changed) changes.command(['systemctl', 'daemon-reload']);
  if (changed && [input.user, situation.manifest?.user].includes('root')) reloadBus(changes);
  if (isOff) {
    notes.push('it was switched off, and stays so. To start it: systemctl enable --now agent3');
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
  if (!options.start) return wasActive;
  if (changed || !wasActive || runsOldExecutable(before)) {
    if (wasActive) await letCommandsEnd(situation);
    // The cgroup of commands is their user's.
    const isOther = (situation.manifest?.user ?? input.user) !== input.user;
    startService(changes, wasActive, isOther ? [COMMANDS, SERVICE] : [SERVICE]);
  }
  const { origin } = addressOf(situation.settings.values);
  if (!changes.dryRun && (await waitFor(() => versionOn(origin), HEALTH_SECONDS, LOOK_MS)) === undefined) {
    throw new InstallFault(`the agent was started and does not answer.\n${whyNot()}`);
  }
  // The first line of the watchdog's log, before its owner looks.
  if (!wasActive && input.watchdog === 'timer') {
    changes.command(['systemctl', 'start', '--no-block', WATCHDOG_SERVICE]);
  }
  await publish(situation, origin);
  return true;
}

/** The policy of the bus counts from now on, for the number that its user has now. */
function reloadBus(changes: Changes): void {
  if (unitIs('active', BUS)) changes.command(['systemctl', 'reload', '--no-block', BUS]);
}

/** systemd waits until the agent is ready; when it does not come up, its own last words are the reason. */
function startService(changes: Changes, wasActive: boolean, units: readonly string[]): void {
  try {
    changes.command(['systemctl', wasActive ? 'restart' : 'start', ...units]);
  } catch {
    throw new InstallFault(
      `the agent does not start: ${whyNot()}\nIf a setting is wrong, correct it in ${PATHS.settings}; then: systemctl restart agent3`,
    );
  }
}

function setWatchdog({ options, changes, input, notes }: Situation): void {
  const isEnabled = unitIs('enabled', WATCHDOG_TIMER);
  if (input.watchdog === 'timer' && !isEnabled) {
    // Without a start: it would start the agent.
    const now = options.start ? ['--now'] : [];
    changes.command(['systemctl', 'enable', '--quiet', ...now, WATCHDOG_TIMER], () => {
      runCommand(['systemctl', 'disable', '--quiet', '--now', WATCHDOG_TIMER]);
    });
  }
  if (input.watchdog === 'cron') {
    notes.push(`systemd runs no timers here: the watchdog runs from ${PATHS.watchdogCron}`);
  }
  if (input.watchdog === 'none') notes.push('no watchdog: systemd alone keeps the agent alive');
}

/** A command that somebody waits for would end without an exit code: it gets the time that commands have. */
async function letCommandsEnd({ changes, notes, print }: Situation): Promise<void> {
  const { waitedFor } = serviceState();
  if (waitedFor === 0) return;
  print(`wait up to ${COMMANDS_SECONDS} s for commands that run (${waitedFor})`);
  if (changes.dryRun) return;
  const haveEnded = () => serviceState().waitedFor === 0 || undefined;
  if (await waitFor(haveEnded, COMMANDS_SECONDS, COMMANDS_LOOK_MS)) return;
  notes.push(
    `${serviceState().waitedFor} commands still ran at the restart: they continue, and their exit codes are lost`,
  );
}

/** After the files were put back: the service as it was before. */
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

/** Puts a record aside whose key is gone: under another key each of its lines would read as forged. */
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
    `AGENT3_AUDIT_KEY was missing in ${PATHS.settings}, so a new one was made. The record so far was sealed with the one that is gone; it is kept in ${place}, and a new record begins. With the old key it can still be checked: AGENT3_AUDIT_KEY=… agent3 audit verify --file ${place}/audit.jsonl`,
  );
}
