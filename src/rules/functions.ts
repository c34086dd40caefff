import type { ParsedScript } from 'unbash';

/** The functions that a script defines for certain, and where each is defined from: a call of one runs what is in it. */
export function functionsOf({ commands }: ParsedScript): ReadonlyMap<string, number> {
  const defined = new Map<string, number>();
  for (const { command, background } of commands) {
    if (command.type !== 'Function' || background === true || command.name.parts !== undefined) continue;
    if (!defined.has(command.name.value)) defined.set(command.name.value, command.end);
  }
  return defined;
}
