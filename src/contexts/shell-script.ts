import { MAX_CONTEXT_NAMES } from '../lib/limits.ts';
import script from './context.bash' with { type: 'text' };
import type { ContextItem } from './shell-state.ts';

/** Descriptors of a shell with a context, by their numbers there. */
export interface ContextDescriptors {
  /** What it reads: `contextInput`. */
  readonly input: number;
  /** Where it writes its state: one file, open twice, so that the shell recognizes it after it was moved. */
  readonly output: readonly [number, number];
}

/** Numbers that hardly any script uses for its own descriptors, or excludes by `ulimit -n`; context.bash has them too. */
const [FIRST, SECOND] = [61, 62];

/**
 * Returns the command line of a shell that has a context: it reads the descriptor, restores the context, and runs the
 * command with both outputs closed, so that no program inherits them. It is one line: messages name the lines of the
 * command.
 */
export function contextCommand({ input, output: [one, other] }: ContextDescriptors): string {
  return [
    `builtin mapfile -d '' -t -u ${input} __agent3_in`,
    `exec ${FIRST}>&${one} ${SECOND}>&${other} ${input}<&- ${one}>&- ${other}>&-`,
    `eval "\${__agent3_in[0]}"`,
    `{ eval "$__agent3_cmd"; } ${FIRST}>&- ${SECOND}>&-`,
  ].join('; ');
}

/** Returns what the shell reads: its functions, the items of the context, the command, each after a NUL. */
export function contextInput(items: readonly ContextItem[], cmd: string, given: ReadonlySet<string>): Buffer {
  const shown = items.filter(({ kind, name }) => kind !== 'variable' || !given.has(name));
  const tracing = shown.filter(isTracing).map(({ text }) => `${text};`);
  const texts = shown.filter((item) => !isTracing(item)).map(restoring);
  const setsTrap = /\btrap\b/.test(cmd) || items.some(({ kind, text }) => kind === 'function' && /\btrap\b/.test(text));
  const first = `__agent3_traps=${Number(setsTrap)} __agent3_most=${MAX_CONTEXT_NAMES}\n${script}`;
  return Buffer.concat([
    Buffer.from([first, ...texts, ''].join('\0'), 'latin1'),
    Buffer.from(tracing.join('')),
    Buffer.from(cmd),
  ]);
}

/** They would show what the agent itself does. */
const isTracing = ({ kind, name }: ContextItem): boolean =>
  kind === 'option' && (name === 'xtrace' || name === 'verbose' || name === 'noexec');

/** A function may have patterns that only work with this option. */
const restoring = ({ kind, text }: ContextItem): string =>
  kind === 'function' ? `shopt -s extglob\n${text}\nshopt -u extglob` : text;
