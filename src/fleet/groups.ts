import { formatPatch, OMIT_HEADERS, structuredPatch } from 'diff';
import { foldNames } from '../lib/fold-names.ts';

/** What a command came to on one server. */
export interface Result {
  readonly name: string;
  /** Of a session of a server, where it did not just end: timeout, killed, denied … */
  readonly status?: string;
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Where the server holds the whole output, which is more than what is here. */
  readonly session?: string;
}

/** Servers that answered the same. */
export interface Group {
  readonly servers: readonly string[];
  readonly exit_code: number | null;
  readonly status?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  /** Against the first group, where that is shorter than the output. */
  readonly diff?: string;
  /** Ids of sessions that hold more, by server. */
  readonly sessions?: Readonly<Record<string, string>>;
  /** The output is left out: it does not fit. */
  readonly omitted_chars?: number;
}

/** A comparison is given up after so many lines that differ, or this time. */
const MAX_CHANGED_LINES = 500;
const MAX_COMPARE_MS = 10;
/** Of all comparisons of an answer: they hold up what else the hub does. */
const MAX_COMPARE_ALL_MS = 50;

/**
 * Results by what they have in common, the largest group first; of groups of one size the one whose server comes first.
 * All texts together have at most `maxChars` characters: the first group has its text, others what fits.
 */
export function groupResults(results: readonly Result[], maxChars: number): Group[] {
  const byText = new Map<string, Result[]>();
  for (const result of results) {
    const same = JSON.stringify([result.status, result.exitCode, result.stdout, result.stderr]);
    byText.set(same, [...(byText.get(same) ?? []), result]);
  }
  const order = new Map(results.map(({ name }, at) => [name, at]));
  const first = ([result]: readonly Result[]): number => order.get(result?.name ?? '') ?? 0;
  const groups = [...byText.values()].sort((a, b) => b.length - a.length || first(a) - first(b));
  const [largest] = groups.map(([result]) => result);
  let left = maxChars;
  const end = performance.now() + MAX_COMPARE_ALL_MS;
  return groups.map((members) => {
    const [result] = members;
    if (result === undefined || largest === undefined) throw new Error('a group has members');
    const text = textOf(result, performance.now() < end ? largest : result);
    const length = Object.values(text).reduce((sum, part) => sum + JSON.stringify(part).length, 0);
    const fits = length <= left;
    if (fits) left -= length;
    const sessions = members.flatMap(({ name, session }) => (session === undefined ? [] : [[name, session] as const]));
    return {
      servers: foldNames(members.map(({ name }) => name)),
      exit_code: result.exitCode,
      ...(result.status !== undefined && { status: result.status }),
      ...(fits ? text : { omitted_chars: length }),
      ...(sessions.length > 0 && { sessions: Object.fromEntries(sessions) }),
    };
  });
}

/** A call that a server, or the hub, has refused. */
interface Refusal {
  readonly name: string;
  readonly error: string;
  readonly message: string;
}

const MOST_REFUSALS = 20;

/** Servers that were refused for the same reason, together. */
export function groupRefusals(refusals: readonly Refusal[]): { servers: string[]; error: string; message: string }[] {
  const byReason = new Map<string, { servers: string[]; error: string; message: string }>();
  for (const { name, error, ...one } of refusals) {
    // The message of a server begins with its name.
    const message = one.message.startsWith(`${name}: `) ? one.message.slice(name.length + 2) : one.message;
    const reason = byReason.get(message) ?? { servers: [], error, message };
    reason.servers.push(name);
    byReason.set(message, reason);
  }
  return [...byReason.values()].slice(0, MOST_REFUSALS).map((one) => ({ ...one, servers: foldNames(one.servers) }));
}

/** What a group shows of its output. */
function textOf(result: Result, largest: Result): { stdout?: string; stderr?: string; diff?: string } {
  const { stdout, stderr } = result;
  const own = { stdout, ...(stderr !== '' && { stderr }) };
  if (result === largest || stderr !== largest.stderr || stdout === largest.stdout) return own;
  const patch = structuredPatch('', '', largest.stdout, stdout, undefined, undefined, {
    context: 1,
    maxEditLength: MAX_CHANGED_LINES,
    timeout: MAX_COMPARE_MS,
  });
  if (patch === undefined) return own;
  const diff = formatPatch(patch, OMIT_HEADERS);
  return diff.length < stdout.length ? { diff } : own;
}
