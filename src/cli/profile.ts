import { availableParallelism, homedir, totalmem, userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { isatty } from 'node:tty';
import { type Command, Option } from '@commander-js/extra-typings';
import { overlapFault } from '../access/access.ts';
import { BUILT_IN, type Profile } from '../access/profile.ts';
import { describeFileFaults, type FaultyFile, type ProfileSet, readProfile } from '../access/profile-files.ts';
import { profileMistakes, profileNotes } from '../access/profile-notes.ts';
import {
  faultsHere,
  type MachineProfile,
  machineFaults,
  machineNotes,
  userFault,
} from '../install/doctor/profile-machine.ts';
import { readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { visibleJson, visibleLine } from '../lib/visible.ts';
import { explain } from '../rules/decide.ts';
import type { Action } from '../rules/rule.ts';
import { faultText } from '../sandbox/sandbox-cause.ts';
import { overlaps } from '../sandbox/workspace.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { profileHere, profilesDirectory, profilesIn } from './profiles-here.ts';

/** `agent3 profile`: what a token may do. */
export function defineProfile(profile: Command): void {
  profile
    .command('list')
    .description('List the profiles')
    .option('--json', 'print JSON, with all settings')
    .option('--hidden', 'print the paths that the built-in profiles hide')
    .addOption(directoryOption())
    .action(listProfiles);
  profile
    .command('check [file...]')
    .description('Check profile files, and whether their sandboxes work on this machine')
    .option('--json', 'print JSON')
    .addOption(directoryOption())
    .addHelpText('after', '\nExample:\n  agent3 profile check ./deploy.toml')
    .action(checkProfiles);
  profile
    .command('explain <profile> [cmd]')
    .description('Explain what the rules of a profile decide about a command, without running it')
    .option('--cwd <path>', 'absolute path that it would run in (default: that of the workspace, or your home)')
    .option('--shell <path>', 'shell that would run it', '/bin/bash')
    .option('--json', 'print JSON')
    .addOption(directoryOption())
    .addHelpText(
      'after',
      `
Without a command, it reads one command a line from standard input and prints a line of JSON for each: action, reason,
part, rule.

Exit code: 0 allow, 3 confirm, 4 deny, 1 fault in a profile, 2 wrong usage. Always 0 for commands on standard input.

Examples:
  agent3 profile explain deploy 'git pull && systemctl restart app'
  agent3 profile explain deploy < commands.txt`,
    )
    .action(explainProfile);
}

const directoryOption = () =>
  new Option(
    '--dir <directory>',
    'directory of profiles (default: AGENT3_PROFILES_DIR, or that of the installed service)',
  );

/** The options that the subcommands share. */
interface ProfileOptions {
  readonly dir?: string | undefined;
  readonly json?: true | undefined;
}

function listProfiles(options: ProfileOptions & { readonly hidden?: true | undefined }): void {
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
    ...faulty.map((file) => [file.name ?? '✗', `✗ cannot be used: ${describeFileFaults(file).join('; ')}`] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, what] of rows) process.stdout.write(`${visibleLine(name.padEnd(width))}  ${visibleLine(what)}\n`);
}

/** The result of a check. `profile` is null for a file whose name cannot be the name of a profile. */
interface Checked {
  readonly profile: string | null;
  readonly faults: readonly string[];
  readonly notes: readonly string[];
}

async function checkProfiles(files: readonly string[], options: ProfileOptions): Promise<void> {
  const checked = await check(files, options);
  const lines = options.json === true ? [visibleJson(checked)] : checked.flatMap(describeChecked);
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  if (checked.some(({ faults }) => faults.length > 0)) process.exit(EXIT_FAILURE);
}

async function check(files: readonly string[], options: ProfileOptions): Promise<Checked[]> {
  const inForce = profilesIn(profilesDirectory(options.dir));
  const { profiles, faulty } = files.length === 0 ? inForce : readNamed(files, inForce, options);
  const own = readManifest(PATHS.manifest)?.user;
  const machine = { memoryBytes: totalmem(), cpus: availableParallelism() };
  const ofMachine = await machineFaults([...profiles.values()], own);
  const others = [...profiles.values(), ...inForce.profiles.values()];
  const read = [...profiles.values()].map((profile): Checked => {
    const fault = ofMachine.get(profile.name);
    const words = overlapFault(profile, others, overlaps) ?? (fault && faultText(fault));
    return {
      profile: profile.name,
      faults: [words ?? [], profileMistakes(profile)].flat(),
      notes: [userFault(profile, own) ?? [], profileNotes(profile, machine), machineNotes(profile)].flat(),
    };
  });
  return [
    ...read,
    ...faulty.map((file) => ({ profile: file.name ?? null, faults: describeFileFaults(file), notes: [] })),
  ];
}

function describeChecked({ profile, faults, notes }: Checked): string[] {
  return [
    ...(faults.length === 0
      ? [`✓ ${profile}`]
      : faults.map((fault) => `✗ ${visibleLine([profile ?? [], fault].flat().join(': '))}`)),
    ...notes.map((note) => `  note: ${visibleLine(note)}`),
  ];
}

async function explainProfile(
  name: string,
  cmd: string | undefined,
  options: ProfileOptions & { readonly cwd?: string | undefined; readonly shell: string },
): Promise<void> {
  const profile = profileHere(profilesIn(profilesDirectory(options.dir)), name);
  if (profile === undefined) fail(EXIT_USAGE, `there is no profile ${name}. To see them: agent3 profile list`);
  const { cwd = profile.sandbox?.directory ?? homedir(), shell } = options;
  if (cmd?.trim() === '') fail(EXIT_USAGE, 'the command is empty');
  if (!cwd.startsWith('/')) fail(EXIT_USAGE, `--cwd must be an absolute path, not ${JSON.stringify(cwd)}`);
  if (cmd === undefined) {
    if (isatty(0)) fail(EXIT_USAGE, 'there is no command to explain: give one, or pass some on standard input');
    for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY }))
      process.stdout.write(`${visibleJson(explain(profile.rules, line, { cwd, shell }), 0)}\n`);
    return;
  }
  const explained = explain(profile.rules, cmd, { cwd, shell });
  const { action, reason, part } = explained;
  const words = `${action}: ${visibleLine(reason)}${part === '' ? '' : ` (${visibleLine(part)})`}`;
  process.stdout.write(`${options.json === true ? visibleJson(explained, 0) : words}\n`);
  process.exitCode = EXIT_OF[action];
}

/** Exit codes of the answers; 1 and 2 are errors. */
const EXIT_OF: Readonly<Record<Action, number>> = { allow: 0, confirm: 3, deny: 4 };

/** Reads these files, those in the directory of an agent as that agent does. */
function readNamed(files: readonly string[], { faulty: inForce }: ProfileSet, options: ProfileOptions): ProfileSet {
  const directory = profilesDirectory(options.dir);
  const profiles = new Map<string, Profile>();
  const faulty: FaultyFile[] = [];
  for (const path of files) {
    const isInForce = directory !== undefined && dirname(resolve(path)) === resolve(directory);
    const known = inForce.find((file) => file.name === undefined || resolve(file.path) === resolve(path));
    const read = (isInForce ? known?.faults : undefined) ?? readProfile(path);
    if ('name' in read) profiles.set(path, read);
    else faulty.push({ path, name: undefined, faults: read });
  }
  return { profiles, faulty };
}

function summary({
  description,
  sandbox,
  user,
  operations,
  limits,
  rules: { rules, otherwise, unreadable },
}: Profile): string {
  const parts = [
    description,
    ...(sandbox?.directory === undefined ? [] : [`Writes to ${sandbox.directory}.`]),
    ...(sandbox?.network === true ? ['Has the network.'] : []),
    ...(user === undefined ? [] : [`Runs as ${user}.`]),
    ...(Object.keys(limits).length === 0 ? [] : [`Limits: ${formatLimits(limits)}.`]),
    ...(rules.length === 0 ? [] : [`Has ${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}.`]),
    ...(otherwise === 'allow' ? [] : [`What no rule allows ${otherwise === 'deny' ? 'is denied' : 'needs approval'}.`]),
    ...(unreadable === 'confirm' ? [] : [`What rules cannot read is ${unreadable === 'deny' ? 'denied' : 'allowed'}.`]),
    ...(operations === undefined ? [] : [`Allows ${operations.join(', ')}.`]),
  ];
  return parts.join(' ');
}

function formatLimits(limits: Profile['limits']): string {
  return Object.entries(limits)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

/** `agent3 try-sandboxes`, hidden: doctor runs it in a unit like that of the agent. */
export function defineTrySandboxes(command: Command): void {
  command.action(trySandboxes);
}

/** Prints as JSON, by name, why this process cannot run commands of the profiles on standard input. */
async function trySandboxes(): Promise<void> {
  const profiles = (await Bun.stdin.json()) as MachineProfile[];
  process.stdout.write(JSON.stringify([...(await faultsHere(profiles, userInfo().username))]));
}
