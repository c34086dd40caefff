import type { Command } from '@commander-js/extra-typings';
import { OutputClosed, OutputFault } from '../client/faults.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { visibleText } from '../lib/visible.ts';

/** The run failed. */
export const EXIT_FAILURE = 1;
/** The command line or a setting is wrong. */
export const EXIT_USAGE = 2;
/** `agent3 exec` itself failed, as with ssh: every other code is the command's own. */
export const EXIT_EXEC = 255;
export type ExitCode = typeof EXIT_FAILURE | typeof EXIT_USAGE | typeof EXIT_EXEC;

/** Says what is wrong, a line each, on standard error, without what acts on a terminal, and ends the process. */
export function fail(code: ExitCode, ...faults: readonly string[]): never {
  for (const fault of faults) process.stderr.write(`agent3: ${visibleText(fault)}\n`);
  process.exit(code);
}

/** 128 + SIGPIPE: the exit code that a shell shows for a program whose reader has gone. */
const EXIT_OUTPUT_CLOSED = 141;

/**
 * What a subcommand does when its output cannot be written.
 * - `stream`: it ends.
 * - `ignore`: it continues. Half an installation is worse than one that nobody watches, and so is a watchdog that stops
 *   at its restart.
 * - `descriptor`: it writes to the descriptors and handles errors itself. Bun makes a descriptor non-blocking for
 *   everybody who shares it as soon as there is a stream for it, even for a mere listener: the streams are left alone.
 */
export type OutputMode = 'stream' | 'ignore' | 'descriptor';

/** Ends a subcommand that cannot write its output, where Bun would show a stack trace. Call it before subcommands are added. */
export function watchOutput(program: Command, mode: OutputMode): void {
  program.hook('preAction', () => {
    if (mode !== 'descriptor') listen(mode === 'ignore' ? () => {} : endOutput);
  });
  const writeOut = (help: string): void => {
    listen(endOutput);
    process.stdout.write(help);
  };
  program.configureOutput({ writeOut });
}

/** Ends the program because of `error`: quietly with 141 when the reader has gone, else with the reason. */
export function endOutput(error: unknown): never {
  if (error instanceof OutputClosed || errnoOf(error) === 'EPIPE') process.exit(EXIT_OUTPUT_CLOSED);
  if (error instanceof OutputFault) fail(EXIT_FAILURE, error.message);
  fail(EXIT_FAILURE, `the output cannot be written: ${describeErrno(error)}`);
}

function listen(listener: (error: unknown) => void): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', listener);
}
