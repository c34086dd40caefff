import { openSync, writeSync } from 'node:fs';
import type { HeldContext } from '../contexts/held-context.ts';
import { contextCommand, contextInput } from '../contexts/shell-script.ts';
import { openMemory } from '../process/beginning.ts';
import type { Descriptors } from '../process/start.ts';
import type { Session } from '../sessions/session.ts';

/** How a shell is started that runs a command in a context. */
export interface ContextStart {
  /** The text for `-c`. */
  readonly text: string;
  /** What it gets from `first` on; they belong to the descriptors of the start. */
  readonly more: readonly number[];
  /** Of them, those it writes its state to. */
  readonly written: readonly number[];
}

/**
 * What a shell needs to run `cmd` in a context: what it reads is in memory and cannot be opened by another user, what it
 * writes lies in its session. Throws the system's error.
 */
export function startInContext(
  session: Session,
  cmd: string,
  { items, call }: HeldContext,
  first: number,
  descriptors: Descriptors,
): ContextStart {
  const input = descriptors.add(openMemory());
  const bytes = contextInput(items, cmd, call.given);
  for (let at = 0; at < bytes.length; ) at += writeSync(input, bytes, at, bytes.length - at, at);
  const open = (): number => descriptors.add(openSync(session.path('context'), 'a', 0o600));
  const written = [open(), open()];
  return {
    text: contextCommand({ input: first, output: [first + 1, first + 2] }),
    more: [input, ...written],
    written,
  };
}
