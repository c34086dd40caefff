import { accessSync, constants, statSync } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { describeErrno, InvalidArguments } from '../lib/errors.ts';
import { MAX_ARGUMENT_BYTES, MAX_ENVIRONMENT_VARIABLES, MAX_PATH_BYTES } from '../lib/limits.ts';
import { SESSION_MARK } from '../process/environment.ts';

/** What is wrong with a text that has half of a surrogate pair. */
export function loneSurrogate(name: string): string {
  return `${name} has a lone surrogate (half of a UTF-16 pair), which is no text. Send well-formed Unicode.`;
}

/** A NUL ends a C string, and a lone surrogate cannot be written as UTF-8: both would change the text in silence. */
export function checkText(name: string, text: string): void {
  if (text.includes('\0')) throw new InvalidArguments(`${name} must not contain a NUL character.`);
  if (!text.isWellFormed()) throw new InvalidArguments(loneSurrogate(name));
}

/** A home that was there within this time is taken to be there still: a look for each command costs a fiftieth of it. */
const HOME_LOOK_MS = 1000;

/** The home of the service's user, or `/` where it has none: Debian's system users live in `/nonexistent`. */
export class DefaultDirectory {
  #directory = '/';
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly home: string,
    private readonly clock: Clock,
  ) {}

  now(): string {
    const now = this.clock.elapsed();
    if (now - this.#lookedMs < HOME_LOOK_MS) return this.#directory;
    this.#lookedMs = now;
    this.#directory = directoryFault(this.home) === undefined ? this.home : '/';
    return this.#directory;
  }
}

/** Throws `InvalidArguments` for what can be no path; whether a command can run there, its start tells. */
export function checkPath(cwd: string): void {
  checkText('cwd', cwd);
  if (Buffer.byteLength(cwd) <= MAX_PATH_BYTES) return;
  throw new InvalidArguments(`cwd is longer than a path may be on Linux (${MAX_PATH_BYTES} bytes). Nothing was run.`);
}

/** Throws `InvalidArguments` for a directory in which no command can run. */
export function checkDirectory(cwd: string): void {
  checkPath(cwd);
  const fault = directoryFault(cwd);
  if (fault === undefined) return;
  throw new InvalidArguments(`cwd ${JSON.stringify(cwd.slice(0, 200))} cannot be used: ${fault}. Nothing was run.`);
}

/** Why a command cannot run in `cwd`; undefined when it can. */
function directoryFault(cwd: string): string | undefined {
  try {
    if (!statSync(cwd).isDirectory()) return 'it is not a directory';
    accessSync(cwd, constants.X_OK);
    return undefined;
  } catch (error) {
    return describeErrno(error);
  }
}

/** `NAME=value` strings as an object: a form that importers of schemas take where they take no free-form object. */
export function environmentOf(entries: readonly unknown[]): Record<string, string> {
  const env: [string, string][] = entries.map((entry, index) => {
    const at = typeof entry === 'string' ? entry.indexOf('=') : -1;
    if (typeof entry !== 'string' || at < 1) throw new InvalidArguments(`env[${index}] must have the form NAME=value.`);
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return Object.fromEntries(env);
}

/** Throws `InvalidArguments` for variables that the system would refuse, or that are Agent3's own. */
export function checkEnvironment(env: Readonly<Record<string, string>>): void {
  const entries = Object.entries(env);
  if (entries.length > MAX_ENVIRONMENT_VARIABLES) {
    throw new InvalidArguments(`env may have at most ${MAX_ENVIRONMENT_VARIABLES} variables, not ${entries.length}.`);
  }
  for (const [name, value] of entries) {
    const shown = `env.${name.slice(0, 60)}`;
    if (name === '' || name.includes('=')) {
      throw new InvalidArguments(
        `env has the name ${JSON.stringify(name.slice(0, 60))}: a name is not empty and has no "=".`,
      );
    }
    if (name === SESSION_MARK) throw new InvalidArguments(`${shown} is set by Agent3 itself; leave it out.`);
    checkText(shown, name);
    checkText(shown, value);
    if (Buffer.byteLength(name) + Buffer.byteLength(value) + 1 > MAX_ARGUMENT_BYTES) {
      throw new InvalidArguments(
        `${shown} is longer than the ${MAX_ARGUMENT_BYTES} bytes that Linux allows; send it in stdin.`,
      );
    }
  }
}
