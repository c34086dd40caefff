import { availableParallelism, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { BUILT_IN, type Profile } from '../access/profile.ts';
import { faultWords, readProfile } from '../access/profile-book.ts';
import { profileMistakes, profileNotes } from '../access/profile-notes.ts';
import { overlapFault } from '../access/workspace-overlap.ts';
import { machineFaults, machineNotes, userFault } from '../install/doctor/profile-machine.ts';
import { PATHS } from '../install/layout.ts';
import { readManifest } from '../install/manifest.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { decide } from '../rules/decide.ts';
import type { Action } from '../rules/rule.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { overlaps } from '../sandbox/workspace.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import type { ProfileOptions } from './profile-arguments.ts';
import { profileHere, profilesDirectory, profilesIn } from './profiles-here.ts';

/** Prints the profiles, a line each. */
export function listProfiles(options: ProfileOptions & { readonly json?: true; readonly hidden?: true }): void {
  if (options.hidden === true) {
    process.stdout.write(`${BUILT_IN.readonly.sandbox?.hidden.join('\n')}\n`);
    return;
  }
  const { profiles, faulty } = profilesIn(profilesDirectory(options.dir));
  if (options.json === true) {
    const broken = faulty.map(({ name = null, path, faults }) => ({ name, file: path, faults }));
    process.stdout.write(`${visibleJson([...profiles.values(), ...broken])}\n`);
    return;
  }
  const rows = [
    ...[...profiles.values()].map((profile) => [profile.name, summary(profile)] as const),
    ...faulty.map((file) => [file.name ?? '✗', `✗ cannot be used: ${faultWords(file).join('; ')}`] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, what] of rows) process.stdout.write(`${visibleLine(name.padEnd(width))}  ${visibleLine(what)}\n`);
}

/** Checks files of profiles; ends with 1 where one has faults. */
export function checkProfiles(files: readonly string[], options: ProfileOptions): void {
  const { profiles, faulty } =
    files.length === 0
      ? profilesIn(profilesDirectory(options.dir))
      : { profiles: new Map(files.map((file) => [file, readOrFail(file, options)])), faulty: [] };
  const own = readManifest(PATHS.manifest)?.user;
  const machine = { memoryBytes: totalmem(), cpus: availableParallelism() };
  const ofMachine = machineFaults([...profiles.values()], own);
  let isSound = faulty.length === 0;
  const others = [...profiles.values(), ...profilesIn(profilesDirectory(options.dir)).profiles.values()];
  for (const profile of profiles.values()) {
    const fault = ofMachine.get(profile.name);
    const words = overlapFault(profile, others, overlaps) ?? (fault && faultText(fault));
    const faults = [words ?? [], profileMistakes(profile)].flat();
    if (faults.length > 0) isSound = false;
    if (faults.length === 0) process.stdout.write(`✓ ${profile.name}\n`);
    for (const fault of faults) process.stdout.write(`✗ ${profile.name}: ${visibleLine(fault)}\n`);
    for (const note of [userFault(profile, own) ?? [], profileNotes(profile, machine), machineNotes(profile)].flat())
      process.stdout.write(`  note: ${visibleLine(note)}\n`);
  }
  for (const words of faulty.flatMap(faultWords)) process.stdout.write(`✗ ${visibleLine(words)}\n`);
  if (!isSound) process.exit(EXIT_FAILURE);
}

/** Prints what the rules of a profile say to a command, which the exit code tells as well. */
export function tryProfile(
  name: string,
  cmd: string,
  options: ProfileOptions & { readonly cwd?: string; readonly shell: string; readonly json?: true },
): void {
  const profile = profileHere(profilesIn(profilesDirectory(options.dir)), name);
  if (profile === undefined) fail(EXIT_USAGE, `there is no profile ${name}; agent3 profile list names those there are`);
  const { cwd = profile.sandbox?.directory ?? '/', shell } = options;
  if (cmd.trim() === '') fail(EXIT_USAGE, 'there is no command to try: it is empty');
  if (!cwd.startsWith('/'))
    fail(EXIT_USAGE, `--cwd must be an absolute path, as the agent takes it, not ${JSON.stringify(cwd)}`);
  const decision = decide(profile.rules, { cmd, shell, cwd, env: {}, stdin: '', isOpen: false });
  const { action, reason, part } = decision;
  const words = `${action}: ${visibleLine(reason)}${part === '' ? '' : ` (${visibleLine(part)})`}`;
  process.stdout.write(`${options.json === true ? visibleJson(decision, 0) : words}\n`);
  process.exitCode = EXIT_OF[action];
}

/** Other codes than those of failures and of wrong command lines. */
const EXIT_OF: Readonly<Record<Action, number>> = { allow: 0, confirm: 3, deny: 4 };

/** A file that lies where an agent looks for profiles is judged as that agent does. */
function readOrFail(path: string, options: ProfileOptions): Profile {
  const directory = profilesDirectory(options.dir);
  const isInForce = directory !== undefined && dirname(resolve(path)) === resolve(directory);
  const faulty = isInForce ? profilesIn(directory).faulty : [];
  const fault = faulty.find((file) => file.name === undefined || resolve(file.path) === resolve(path));
  const read = fault?.faults ?? readProfile(path);
  if ('name' in read) return read;
  fail(EXIT_FAILURE, ...read.map((fault) => `${path}: ${fault}`));
}

function summary({ description, sandbox, user, operations, limits, rules: { rules, otherwise } }: Profile): string {
  const parts = [
    description,
    ...(sandbox?.directory === undefined ? [] : [`Writes to ${sandbox.directory}.`]),
    ...(sandbox?.network === true ? ['Has the network.'] : []),
    ...(user === undefined ? [] : [`Runs as ${user}.`]),
    ...(Object.keys(limits).length === 0 ? [] : [`Limits: ${limitWords(limits)}.`]),
    ...(rules.length === 0 ? [] : [`Has ${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}.`]),
    ...(otherwise === 'allow' ? [] : [`What no rule allows is ${otherwise === 'deny' ? 'denied' : 'asked about'}.`]),
    ...(operations === undefined ? [] : [`Allows ${operations.join(', ')}.`]),
  ];
  return parts.join(' ');
}

function limitWords(limits: Profile['limits']): string {
  return Object.entries(limits)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
