import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { MAX_CONTEXT_BYTES, MAX_CONTEXT_NAMES, MAX_PATH_BYTES } from '../lib/limits.ts';
import { type ContextItem, changesOf, parseStates } from './shell-state.ts';

/** What a context holds between two commands. */
export interface ContextState {
  readonly cwd: string;
  readonly items: readonly ContextItem[];
}

/** The arguments of a call besides its command; they only apply to that call. */
export interface ContextCall {
  /** The names in its `env`. */
  readonly given: ReadonlySet<string>;
  readonly hasDirectory: boolean;
}

/** A context that one command uses. */
export interface HeldContext {
  readonly name: string;
  readonly walls: string;
  readonly call: ContextCall;
  /** Where the last command has ended; undefined: there was none. */
  readonly cwd: string | undefined;
  /** What its shell begins with besides the state of a fresh one. */
  readonly items: readonly ContextItem[];
  /** Of the items. */
  readonly sha256: string;
  /** What the answer says about it. */
  readonly note: string | undefined;
  /** The session of the command, once there is one. */
  session: string | undefined;
  /** Frees it for the next command, unchanged. */
  readonly release: () => void;
}

/** Returns the SHA-256 of what a context brings. */
export function digestOfItems(items: readonly ContextItem[]): string {
  return Bun.SHA256.hash(JSON.stringify(items), 'hex');
}

/** Describes what a context brings, for a person: what the shell runs before the command. */
export function describeItems(items: readonly ContextItem[]): string {
  return Buffer.from(items.map(({ text }) => text).join('\n'), 'latin1').toString('utf8');
}

/** A line of the record has no more of a context than this, in bytes. */
const MOST_RECORDED_BYTES = 65_536;

/** The same for the record, as far as a line has room for it: whole texts, so that no secret is cut in two. */
export function describeBeginning(items: readonly ContextItem[]): string {
  let bytes = 0;
  const shown = items.filter(({ text }) => {
    bytes += text.length;
    return bytes <= MOST_RECORDED_BYTES;
  });
  const left = items.length - shown.length;
  return left === 0 ? describeItems(shown) : `${describeItems(shown)}\n… and ${left} more`;
}

/** Two states of a shell, with room for what every fresh one has. */
const MOST_STATE_BYTES = 2 * MAX_CONTEXT_BYTES;

/**
 * Returns what the shell of a command has left: its state at its end without what every fresh shell has; or a sentence
 * why it is not kept. `note` says which parts are not kept. Throws the system's error.
 */
export function keepState(
  path: string,
  { call, cwd: before, items }: HeldContext,
): (ContextState & { readonly note: string | undefined }) | string {
  const text = readState(path);
  if (text === undefined) return TOO_LARGE;
  const states = parseStates(text);
  const [fresh, last] = [states[0], states.at(-1)];
  if (fresh === undefined || last === undefined || states.length < 2)
    return 'its shell ended before it could be saved, by exec or by a signal.';
  const changes = changesOf(fresh, last, items, call.given);
  if (fresh.isCut || last.isCut || changes.length > MOST_ITEMS) return TOO_MANY;
  if (changes.reduce((sum, one) => sum + one.text.length, 0) > MAX_CONTEXT_BYTES) return TOO_LARGE;
  // A directory that the call set, and that its command did not leave, only applied to that call.
  const stays = call.hasDirectory && before !== undefined && last.cwd === fresh.cwd;
  const cwd = stays ? before : Buffer.from(last.cwd, 'latin1').toString('utf8');
  if (cwd.includes('\uFFFD') || !cwd.startsWith('/') || Buffer.byteLength(cwd) > MAX_PATH_BYTES)
    return {
      cwd: before ?? '/',
      items: changes,
      note: 'The context keeps its old directory: the new one is not UTF-8.',
    };
  return { cwd, items: changes, note: undefined };
}

/**
 * With an attribute for each function, variables that are gone, and the options; a command may have written any number.
 */
const MOST_ITEMS = 3 * MAX_CONTEXT_NAMES;
const TOO_MANY = `its shell has more than ${MAX_CONTEXT_NAMES} variables, functions and aliases. Unset some, or write the data to a file.`;
const TOO_LARGE = `its variables, functions and aliases take more than ${MAX_CONTEXT_BYTES} bytes. Unset large ones, or write the data to a file.`;

/** A command may have replaced its state by anything. Returns undefined if it is too large. */
function readState(path: string): string | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return '';
    return stat.size > MOST_STATE_BYTES ? undefined : readFileSync(fd, 'latin1');
  } finally {
    closeSync(fd);
  }
}
