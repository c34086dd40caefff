import { ruleOf } from '../rules/rule.ts';
import { ruleMistakes, ruleNotes } from '../rules/rule-faults.ts';
import { shadowFaults, shadowNotes } from '../rules/shadows.ts';
import type { Profile, ProfileFile } from './profile.ts';

interface Machine {
  readonly memoryBytes: number;
  readonly cpus: number;
}

/** Returns, a sentence each, what has no effect in a profile. An agent accepts it; a check reports it as a fault. */
export function profileMistakes({ source }: Profile): string[] {
  const rules = rulesIn(source);
  const ofRules = rules.flatMap((rule, index) => ruleMistakes(`rule ${index + 1}`, rule));
  // A rule with mistakes is not compared with the others.
  return ofRules.length > 0 ? ofRules : shadowFaults(rules.map(ruleOf));
}

function rulesIn(source: string): NonNullable<ProfileFile['rules']> {
  return fileOf(source).rules ?? [];
}

function fileOf(source: string): ProfileFile {
  return source === '' ? {} : JSON.parse(source);
}

/** Returns, a sentence each, what the owner of a usable profile may not have meant. */
export function profileNotes(profile: Profile, machine: Machine): string[] {
  const rules = rulesIn(profile.source);
  return [
    ...rules.flatMap((rule, index) => ruleNotes(`rule ${index + 1}`, rule)),
    ...shadowNotes(rules.map(ruleOf)),
    ...limitNotes(profile, machine),
    ...hideNotes(profile.source),
  ];
}

/** An owner may know other patterns from shells and from rules, and what they name would be shown. */
function hideNotes(source: string): string[] {
  return (fileOf(source).hide ?? [])
    .filter((path) => /[?[{]|\*\*/.test(path))
    .map((path) => `hide ${path}: * is any part of one name; ?, [ and { are only themselves`);
}

const MIB = 1_048_576;

/** Two for bubblewrap, one for the shell; measured with pids.max of 3, 4 and 5. */
const PROCESSES_OF_SANDBOX = 3;

function limitNotes({ limits, sandbox }: Profile, machine: Machine): string[] {
  const { memory_mib: memoryMib = 0, cpu_percent: cpuPercent = 0, processes } = limits;
  const hasMib = Math.floor(machine.memoryBytes / MIB);
  const hasPercent = machine.cpus * 100;
  const least = PROCESSES_OF_SANDBOX + 2;
  return [
    ...(memoryMib > hasMib ? [`memory_mib ${memoryMib} has no effect: this machine has ${hasMib} MiB`] : []),
    ...(cpuPercent >= hasPercent
      ? [`cpu_percent ${cpuPercent} has no effect: all CPUs of this machine are ${hasPercent}`]
      : []),
    ...(sandbox !== undefined && processes !== undefined && processes < least
      ? [
          `processes ${processes} is too few for a pipe, which needs ${least}: the sandbox and its shell take ${PROCESSES_OF_SANDBOX}`,
        ]
      : []),
  ];
}
