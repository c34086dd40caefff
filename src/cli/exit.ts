import { visibleText } from '../lib/visible.ts';

/** The run failed. */
export const EXIT_FAILURE = 1;
/** The command line or a setting is wrong. */
export const EXIT_USAGE = 2;
/** `agent3 exec` itself failed, as with ssh: every other code is the command's own. */
export const EXIT_EXEC = 255;

/** Says what is wrong, a line each, on standard error, without what acts on a terminal, and ends the process. */
export function fail(
  code: typeof EXIT_FAILURE | typeof EXIT_USAGE | typeof EXIT_EXEC,
  ...faults: readonly string[]
): never {
  for (const fault of faults) process.stderr.write(`agent3: ${visibleText(fault)}\n`);
  process.exit(code);
}
