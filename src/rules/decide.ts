import { basename } from 'node:path';
import { type Command, forEachChild, type ParsedScript, parse, type Redirection, type SyntaxNode } from 'unbash';
import { type Fed, isSpecialVariable } from './look.ts';
import { innerOf } from './programs.ts';
import { ACTIONS, type Invocation, matches } from './rule.ts';
import { ALLOWED, type Decision, letsAllThrough, type Ruleset } from './ruleset.ts';
import { ANYTHING, argumentText, known, type Text, textOf } from './words.ts';

/** What is to be run. */
export interface Proposal {
  readonly cmd: string;
  /** The shell that runs it. */
  readonly shell: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  /** Its input stays open, and nobody knows what will be typed. */
  readonly isOpen: boolean;
}

/** The parser takes time with the square of some texts: 16 KiB of the worst took 50 ms. */
const MAX_CHARS = 16_384;

/** Shells within shells. */
const MAX_DEPTH = 8;

/** The strictest that the rules say to any part of a command. What they cannot read, a person has to see. */
export function decide(ruleset: Ruleset, proposal: Proposal): Decision {
  if (letsAllThrough(ruleset)) return ALLOWED;
  const { cmd, shell, cwd, env, stdin, isOpen } = proposal;
  const found = new Collector(basename(shell)).read(cmd);
  const asked = [
    ...(isOpen ? ['its input stays open, so rules cannot read what will be typed'] : []),
    ...Object.keys(env)
      .filter(isSpecialVariable)
      .map((name) => `the variable ${name} changes what commands mean`),
    ...(Object.values(env).concat(stdin).some(hidesCode) ? ['its input or a variable holds code of the shell'] : []),
    ...found.faults,
  ].map((reason): Decision => ({ action: 'confirm', reason, part: '', rule: undefined }));
  const known = found.parts.some(({ name }) => name?.isKnown === false || MOVES.test(name?.text ?? ''))
    ? undefined
    : cwd;
  const decisions = found.parts.flatMap((part) => decidePart(ruleset, part, known));
  return strictest([...asked, ...decisions]);
}

/** After these, relative paths mean something else. */
const MOVES = /^(?:cd|pushd|popd|chdir)$/;

function strictest(decisions: readonly Decision[]): Decision {
  let result = ALLOWED;
  for (const decision of decisions) {
    const isFirst = result === ALLOWED && decision.rule !== undefined;
    if (ACTIONS.indexOf(decision.action) > ACTIONS.indexOf(result.action) || (isFirst && decision.action === 'allow'))
      result = decision;
  }
  return result;
}

function decidePart({ rules, otherwise }: Ruleset, part: Part, cwd: string | undefined): Decision[] {
  const decisions: Decision[] = [];
  const shown = shorten(part.source);
  const opaque =
    part.unreadable ?? (isOutside(part, cwd) ? 'it is a program outside of the directories of the system' : undefined);
  const unsure: Decision[] =
    opaque === undefined ? [] : [{ action: 'confirm', reason: opaque, part: shown, rule: undefined }];
  if (part.name === undefined && part.writes.length === 0) return unsure;
  for (const [index, rule] of rules.entries()) {
    const answer = matches(rule, part, cwd);
    if (answer === 'no' || (answer === 'maybe' && rule.action === 'allow')) continue;
    const number = index + 1;
    if (answer === 'maybe') {
      const reason = `rule ${number} may be about it (${rule.words}), which only running it would tell`;
      decisions.push({ action: 'confirm', reason, part: shown, rule: number });
      continue;
    }
    decisions.push({
      action: rule.action,
      reason: rule.reason ?? `rule ${number}: ${rule.words}`,
      part: shown,
      rule: number,
    });
    // Who allows a program with these very arguments has read them.
    return rule.action === 'allow' && rule.arguments !== undefined ? decisions : [...decisions, ...unsure];
  }
  if (otherwise !== 'allow') {
    decisions.push({ action: otherwise, reason: 'no rule is about it', part: shown, rule: undefined });
  }
  return [...decisions, ...unsure];
}

function isOutside({ name }: Part, cwd: string | undefined): boolean {
  if (name?.isKnown !== true || !name.text.includes('/')) return false;
  return innerOf({ name, args: [], writes: [], input: undefined }, cwd).unreadable?.includes('outside') === true;
}

const SHOWN_CHARS = 120;

function shorten(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= SHOWN_CHARS ? line : `${line.slice(0, SHOWN_CHARS)}…`;
}

/** A simple command among those that would run. */
interface Part extends Invocation {
  readonly source: string;
  readonly unreadable: string | undefined;
}

interface Found {
  readonly parts: readonly Part[];
  readonly faults: readonly string[];
}

/** Finds every simple command of a script, also those in substitutions, in functions, and behind other commands. */
class Collector {
  readonly #parts: Part[] = [];
  readonly #faults = new Set<string>();

  constructor(private readonly shell: string) {}

  read(script: string): Found {
    this.#script(script, 0);
    return { parts: this.#parts, faults: [...this.#faults] };
  }

  #script(text: string, depth: number): void {
    if (text.length > MAX_CHARS) {
      this.#faults.add(`it has more than ${MAX_CHARS} characters`);
      return;
    }
    if (depth > MAX_DEPTH) {
      this.#faults.add('it has shells within shells within shells');
      return;
    }
    try {
      this.#walk(parse(text), text, depth);
    } catch (error) {
      this.#faults.add(`it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #walk(node: SyntaxNode, source: string, depth: number): void {
    if (node.type === 'Script') {
      const { errors, source: own } = node as ParsedScript;
      for (const { message } of errors ?? []) this.#faults.add(`it cannot be parsed: ${message}`);
      forEachChild(node, (child) => this.#walk(child, own ?? source, depth));
      return;
    }
    this.#look(node, source, depth);
    forEachChild(node, (child) => this.#walk(child, source, depth));
  }

  #look(node: SyntaxNode, source: string, depth: number): void {
    if (node.type === 'Command') this.#command(node, source.slice(node.pos, node.end), depth);
    if (node.type === 'Redirected') this.#writes(node.redirects, source.slice(node.pos, node.end));
    if (node.type === 'Word' && hidesCode(textOf(node).text)) this.#faults.add('a text in it holds code of the shell');
    if (node.type === 'Assignment' && isSpecialVariable(node.name))
      this.#faults.add(`${node.name} changes what commands mean`);
    if ((node.type === 'For' || node.type === 'Select') && isSpecialVariable(node.name.value))
      this.#faults.add(`${node.name.value} changes what commands mean`);
    if (this.shell !== 'bash' && ONLY_BASH.has(node.type))
      this.#faults.add(`${this.shell} reads it otherwise than bash would`);
  }

  #command(node: Command, source: string, depth: number): void {
    const words = [...node.args].map(argumentText);
    const name = node.name && textOf(node.name);
    const invocation: Fed = {
      name: name === undefined ? undefined : name.isKnown ? name : ANYTHING,
      args: words,
      writes: writesOf(node.redirects),
      input: inputOf(node.redirects),
    };
    this.#add(invocation, source, depth);
  }

  #add(invocation: Fed, source: string, depth: number): void {
    // Which directory it will be is decided when all parts are known; what is relative is looked at then.
    const { invocations = [], scripts = [], unreadable } = isRelative(invocation) ? {} : innerOf(invocation, '/');
    this.#parts.push({ ...invocation, source, unreadable });
    if (depth > MAX_DEPTH) this.#faults.add('it has commands within commands within commands');
    else for (const inner of invocations) this.#add({ ...inner, input: invocation.input }, source, depth + 1);
    for (const script of scripts) this.#script(script, depth + 1);
  }

  #writes(redirects: readonly Redirection[], source: string): void {
    const writes = writesOf(redirects);
    if (writes.length > 0) this.#parts.push({ name: undefined, args: [], writes, source, unreadable: undefined });
  }
}

/** A program by a path from the current directory. */
function isRelative({ name }: Fed): boolean {
  return name?.isKnown === true && name.text.includes('/') && !name.text.startsWith('/');
}

/** What only bash knows, or reads otherwise than other shells. */
const ONLY_BASH: ReadonlySet<string> = new Set([
  'ArithmeticCommand',
  'ArithmeticFor',
  'TestCommand',
  'ProcessSubstitution',
  'AnsiCQuoted',
  'LocaleString',
  'BraceExpansion',
  'ExtendedGlob',
  'HereString',
  'Coproc',
  'Select',
  'ArrayValue',
]);

/** The index of an array is arithmetic, and arithmetic runs the substitutions in it, also from a text in quotes. */
function hidesCode(text: string): boolean {
  return /\[[^\]]*(?:\$\(|`)/.test(text);
}

function writesOf(redirects: readonly Redirection[]): Text[] {
  return redirects.flatMap((redirect) => {
    if (redirect.type !== 'Redirect' || redirect.target === undefined) return [];
    const target = textOf(redirect.target);
    const isCopy = redirect.operator === '>&' && target.isKnown && /^(?:\d+-?|-)$/.test(target.text);
    return /^(?:>|>>|>\||&>|&>>|<>|>&)$/.test(redirect.operator) && !isCopy ? [target] : [];
  });
}

/** What a here-document or here-string gives; a file or another command gives what nobody knows. */
function inputOf(redirects: readonly Redirection[]): Text | undefined {
  const last = redirects.findLast(({ type, operator }) => type !== 'Redirect' || operator === '<' || operator === '<&');
  if (last === undefined || last.type === 'Redirect') return undefined;
  if (last.type === 'HereString') return last.target && textOf(last.target);
  const { parts, text } = last.body;
  if (parts === undefined) return known(text);
  return parts.every(({ type }) => type === 'Literal') ? known(text) : ANYTHING;
}
