import { basename } from 'node:path';
import { readScript, type SimpleCommand } from '../shell/script.ts';
import { isSpecialVariable } from '../shell/variables.ts';
import { known, type Text } from '../shell/words.ts';
import { type Brought, contextOf } from './context.ts';
import { isAgainst, isHarmless, isNamedIn, matches, matchesWrite, programsNamed } from './match.ts';
import { type Answer, absolute, directoriesOf, type Where } from './paths.ts';
import { ACTIONS, type Action, ALLOWED, type Decision, letsAllThrough, type Rule, type Ruleset } from './rule.ts';

export interface Proposal {
  readonly cmd: string;
  readonly shell: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** Whether its input stays open, so that it is unknown what will be typed. */
  readonly isOpen: boolean;
  /** What a context brings to its shell. */
  readonly brought?: readonly Brought[];
}

/**
 * Returns the strictest decision of the rules on any part of a command; parts that rules decide on and that cannot be
 * read get `unreadable`.
 */
export function decide(ruleset: Ruleset, proposal: Proposal): Decision {
  const pieces = decisions(ruleset, proposal);
  let piece = pieces.next();
  while (piece.done !== true) piece = pieces.next();
  return piece.value;
}

/** `decide` in pieces: `turn` is awaited before each, and other calls run meanwhile. */
export async function decideInTurns(
  ruleset: Ruleset,
  proposal: Proposal,
  turn: () => Promise<void>,
): Promise<Decision> {
  const pieces = decisions(ruleset, proposal);
  for (;;) {
    await turn();
    const { done, value } = pieces.next();
    if (done === true) return value;
  }
}

/** Commands with so many words are judged in some milliseconds. */
const WORDS_A_PIECE = 1000;

function* decisions(ruleset: Ruleset, proposal: Proposal): Generator<void, Decision, void> {
  if (letsAllThrough(ruleset)) return ALLOWED;
  const { cmd, shell, cwd, env, stdin, isOpen, brought = [] } = proposal;
  const context = yield* contextOf(brought);
  const given = [...Object.values(env), ...context.values];
  const { commands, faults, repeats, defined } = readScript(cmd, basename(shell), given, stdin);
  const unread = [
    ...(isOpen ? ['its input stays open, so rules cannot read what will be typed'] : []),
    ...Object.keys(env)
      .filter(isSpecialVariable)
      .map((name) => `the variable ${name} changes what commands mean`),
    ...context.faults,
    ...[...defined].filter((name) => context.aliases.has(name)).map((name) => `its context has an alias for ${name}`),
    ...faults,
  ].map((reason) => unreadable(ruleset, reason));
  yield;
  const where = directoriesOf(cwd, commands, repeats);
  let [result, words] = [strictest(unread), 0];
  for (const part of commands) {
    words += 5 + part.args.length;
    if (words > WORDS_A_PIECE) {
      words = 0;
      yield;
    }
    result = strictest([result, ...decidePart(ruleset, part, part.isElsewhere ? undefined : where)]);
    if (context.names.has(part.name?.text ?? ''))
      result = strictest([result, unreadable(ruleset, `its context defines ${part.name?.text}`, shorten(part.source))]);
  }
  return result;
}

/** Returns the strictest of decisions; of those that allow, the first that a rule made. */
export function strictest(decisions: readonly Decision[]): Decision {
  let result = ALLOWED;
  for (const decision of decisions) {
    const isFirst = result === ALLOWED && decision.rule !== undefined;
    if (ACTIONS.indexOf(decision.action) > ACTIONS.indexOf(result.action) || (isFirst && decision.action === 'allow'))
      result = decision;
  }
  return result;
}

function unreadable({ unreadable: action }: Ruleset, reason: string, part = '', rule?: number): Decision {
  return { action, reason, part, rule };
}

function decidePart(ruleset: Ruleset, part: SimpleCommand, where: Where): Decision[] {
  const run = part.name === undefined ? [] : decideRun(ruleset, part, where);
  const written = part.writes.flatMap((file) => {
    const { decisions, decider } = ask(ruleset, part, (rule) => matchesWrite(rule, part, file, where));
    const isLeft = decider === undefined && !isHarmless(file);
    return isLeft ? [...decisions, ...otherwiseOf(ruleset, part, unwritable(file, where))] : decisions;
  });
  return [...run, ...written];
}

/**
 * Decides on a call that writes a file by itself, as on a command of its name that writes to it. If `otherwise` is
 * stricter, only an `allow` with nothing but `writes` allows it: there is no program to be allowed.
 */
export function decideWrite(ruleset: Ruleset, operation: string, path: string): Decision {
  const file = known(path);
  const source = `${operation} ${path}`;
  const words = { name: known(operation), args: [file], reads: [], writes: [file], around: [], inner: {} };
  const part: SimpleCommand = { ...words, source, fed: '', isCall: false, isElsewhere: false };
  const run = ask(ruleset, part, (rule) => matches(rule, part, ['/']));
  const written = ask(ruleset, part, (rule) => matchesWrite(rule, part, file, ['/']));
  const left = written.decider === undefined ? otherwiseOf(ruleset, part, unwritable(file, ['/'])) : [];
  return strictest([...run.decisions, ...written.decisions, ...left]);
}

function decideRun(ruleset: Ruleset, part: SimpleCommand, where: Where): Decision[] {
  const { name, inner } = part;
  const { decisions, decider } = ask(ruleset, part, (rule) => matches(rule, part, where));
  const shown = shorten(part.source);
  // An owner who allows a program with exactly these arguments has read them.
  const isRead = decider?.action === 'allow' && decider.arguments !== undefined;
  const unread = inner.unreadable === undefined || isRead ? [] : [unreadable(ruleset, inner.unreadable, shown)];
  // Any rule may be about a program without a known name: that reason says more.
  const isNameless = name?.isKnown === false && decider === undefined;
  return [
    ...(isNameless ? [...unread, ...decisions] : decisions),
    ...(decider === undefined && !part.isCall ? otherwiseOf(ruleset, part, unruled(ruleset, part, where)) : []),
    ...(isNameless ? [] : unread),
    ...(isRead ? [] : decideNamed(ruleset, part, where)),
  ];
}

/**
 * Decides on words of a command that name what a rule is against, though its program is another: it may run or copy
 * that.
 */
function decideNamed(ruleset: Ruleset, part: SimpleCommand, where: Where): Decision[] {
  const { runs, invocations = [] } = part.inner;
  const text = part.args.map((arg) => arg.text).join(' ');
  const found = runs?.exec(text);
  const behind = found ? [text.slice(found.index + found[0].length), part.input?.text, part.fed].join(' ') : '';
  const programs = invocations.length > 0 ? [] : programsNamed(part, where);
  if (behind === '' && programs.length === 0) return [];
  const index = ruleset.rules.findIndex((rule) => isAgainst(rule, programs) || isNamedIn(behind, rule));
  if (index === -1) return [];
  return [unreadable(ruleset, `rule ${index + 1} is about a program that it names`, shorten(part.source), index + 1)];
}

interface Asked {
  readonly decisions: readonly Decision[];
  readonly decider: Rule | undefined;
}

/** Returns the first rule that is about something, and those before it that may be. */
function ask(ruleset: Ruleset, part: SimpleCommand, matchOf: (rule: Rule) => Answer): Asked {
  const decisions: Decision[] = [];
  const shown = shorten(part.source);
  for (const [index, rule] of ruleset.rules.entries()) {
    const answer = matchOf(rule);
    if (answer === 'no' || (answer === 'maybe' && rule.action === 'allow')) continue;
    const number = index + 1;
    if (answer === 'maybe') {
      const reason = `rule ${number} may be about it (${rule.words}), but only running it would show that`;
      decisions.push(unreadable(ruleset, reason, shown, number));
      continue;
    }
    const { action, reason = `rule ${number}: ${rule.words}` } = rule;
    decisions.push({ action, reason, part: shown, rule: number });
    return { decisions, decider: rule };
  }
  return { decisions, decider: undefined };
}

function otherwiseOf({ otherwise }: Ruleset, part: SimpleCommand, reason: string): Decision[] {
  if (otherwise === 'allow') return [];
  return [{ action: otherwise, reason, part: shorten(part.source), rule: undefined }];
}

/** Returns why no rule is about what is run: one may allow it with other files. */
function unruled({ rules }: Ruleset, part: SimpleCommand, where: Where): string {
  const index = rules.findIndex(
    (rule) =>
      rule.action === 'allow' &&
      rule.writes !== undefined &&
      // A rule with nothing but files allows no program.
      (rule.commands ?? rule.arguments) !== undefined &&
      matches({ ...rule, writes: undefined }, part, where) === 'yes',
  );
  const words = rules[index]?.words;
  return words === undefined
    ? 'no rule is about it'
    : `rule ${index + 1} allows it only when it writes to its files and to no others (${words})`;
}

/**
 * Returns why a file may not be written to, if no rule is about it: an `allow` for a program may surprise its author.
 */
function unwritable(file: Text, where: Where): string {
  if (!file.isKnown) return 'no rule allows it to write to a file whose name is only known when it runs';
  const [path = file.text, ...others] = absolute(file.text, where);
  const shown = shorten(others.length === 0 ? path : file.text);
  return `no rule allows it to write to ${shown}: an allow for a program does not cover its files, which need writes = ${JSON.stringify(shown)}`;
}

/**
 * Whether these rules, by their numbers, are all that asks about a command, an `allow` with their words would let it
 * run, nothing denies it, every word of it is known, and it reads no file and stays in its directory.
 */
export function isAskedBy({ rules, otherwise }: Ruleset, numbers: ReadonlySet<number>, proposal: Proposal): boolean {
  const { cmd, shell, cwd, env, stdin } = proposal;
  const { commands, repeats } = readScript(cmd, basename(shell), Object.values(env), stdin);
  const words = commands.flatMap(({ name, args, writes, around }) => [
    ...(name === undefined ? [] : [name]),
    ...args,
    ...writes,
    ...around,
  ]);
  if (!words.every(({ isKnown }) => isKnown)) return false;
  if (commands.some(({ reads }) => reads.length > 0) || directoriesOf(cwd, commands, repeats)?.length !== 1)
    return false;
  const strict = (action: Action): Action => (action === 'confirm' ? 'deny' : action);
  const decisionWith = (stated: (rule: Rule) => readonly Rule[]): Action => {
    const all = rules.flatMap((rule, at) =>
      numbers.has(at + 1) ? stated(rule) : [{ ...rule, action: strict(rule.action) }],
    );
    return decide({ rules: all, otherwise: strict(otherwise), unreadable: 'deny' }, proposal).action;
  };
  return decisionWith((rule) => [rule]) === 'confirm' && decisionWith(asAllow) === 'allow';
}

/**
 * Returns an `allow` with the words of a rule. Of a rule about programs, the rest is denied; a rule about files is
 * about no program.
 */
function asAllow(rule: Rule): readonly Rule[] {
  const allow = { ...rule, action: 'allow' } as const;
  const isAboutPrograms = (rule.commands ?? rule.flags ?? rule.arguments) !== undefined;
  return isAboutPrograms || rule.writes === undefined ? [allow, { ...rule, action: 'deny' }] : [allow];
}

const SHOWN_CHARS = 120;

function shorten(text: string): string {
  const line = text
    .slice(0, SHOWN_CHARS * 4)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length <= SHOWN_CHARS ? line : `${line.slice(0, SHOWN_CHARS)}…`;
}

/** Explains the decision on a command in a directory and shell; nothing is run. No rule is null, for JSON. */
export function explain(rules: Ruleset, cmd: string, place: Pick<Proposal, 'cwd' | 'shell'>) {
  const decision = decide(rules, { cmd, ...place, env: {}, stdin: '', isOpen: false });
  return { ...decision, rule: decision.rule ?? null };
}
