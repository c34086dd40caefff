import type { Command } from '@commander-js/extra-typings';
import { OutputClosed, OutputFault } from '../client/faults.ts';
import { describeErrno, errnoOf, isDenied } from '../lib/errors.ts';
import { visibleText } from '../lib/visible.ts';

/** The run failed. */
export const EXIT_FAILURE = 1;
/** The command line or a setting is wrong. */
export const EXIT_USAGE = 2;
/** `agent3 exec` itself failed, as with ssh. Every other code is the command's own. */
export const EXIT_EXEC = 255;
export type ExitCode = typeof EXIT_FAILURE | typeof EXIT_USAGE | typeof EXIT_EXEC;

/** Prints each line on standard error, without control characters, and exits with `code`. */
export function fail(code: ExitCode, ...faults: readonly string[]): never {
  for (const fault of faults) process.stderr.write(`agent3: ${visibleText(fault)}\n`);
  process.exit(code);
}

/** Says why a file or directory cannot be read, and where `sudo` helps. */
export function cannotRead(path: string, error: unknown): string {
  return `${path} cannot be read: ${describeErrno(error)}${isDenied(error) ? '. Try it with sudo.' : ''}`;
}

/** 128 + SIGPIPE: the exit code that a shell shows for a program whose reader has gone. */
const EXIT_OUTPUT_CLOSED = 141;

/**
 * What a subcommand does when its output cannot be written.
 * - `stream`: it ends.
 * - `ignore`: it continues. An installation or a restart by the watchdog must not stop halfway.
 * - `descriptor`: it writes to the descriptors and handles errors itself. It uses no stream: for a stream, even one with
 *   a listener only, Bun makes the descriptor non-blocking for every process that shares it.
 */
export type OutputMode = 'stream' | 'ignore' | 'descriptor';

/** Ends a subcommand that cannot write its output; Bun would print a stack trace. Call it before subcommands are added. */
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

/** Ends the program because of `error`: with 141 and no message when the reader has gone, else with the reason. */
export function endOutput(error: unknown): never {
  if (error instanceof OutputClosed || errnoOf(error) === 'EPIPE') process.exit(EXIT_OUTPUT_CLOSED);
  if (error instanceof OutputFault) fail(EXIT_FAILURE, error.message);
  fail(EXIT_FAILURE, `the output cannot be written: ${describeErrno(error)}`);
}

function listen(listener: (error: unknown) => void): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', listener);
}
