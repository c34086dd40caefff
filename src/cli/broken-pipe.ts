import type { Command } from 'commander';
import { OutputClosed, OutputFault } from '../client/faults.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { EXIT_FAILURE, fail } from './exit.ts';

/** 128 + SIGPIPE: what a shell tells of a program whose reader has gone. */
const EXIT_OUTPUT_CLOSED = 141;

/** Half an installation is worse than one that nobody watches, and so is a watchdog that stops at its restart. */
const GOES_ON: ReadonlySet<string> = new Set(['install', 'watchdog']);

/**
 * These look after their output themselves. Bun makes a descriptor non-blocking for everybody who shares it as soon as
 * it has a stream of it, also for one that only listens: they are left alone.
 */
const BY_DESCRIPTOR: ReadonlySet<string> = new Set(['serve', 'mcp', 'exec', 'sessions', 'audit', 'match-lines']);

/** Has what cannot write its output end, where Bun would show a stack trace. Before settings are handed down. */
export function endWithReader(program: Command): void {
  program.hook('preAction', (_, action) => {
    const name = subcommandOf(action);
    if (!BY_DESCRIPTOR.has(name)) hear(GOES_ON.has(name) ? () => {} : endOutput);
  });
  const writeOut = (help: string): void => {
    hear(endOutput);
    process.stdout.write(help);
  };
  program.configureOutput({ writeOut });
}

/** Ends the program because of `error`: as the system ends others whose reader has gone, quietly; else with the reason. */
export function endOutput(error: unknown): never {
  if (error instanceof OutputClosed || errnoOf(error) === 'EPIPE') process.exit(EXIT_OUTPUT_CLOSED);
  if (error instanceof OutputFault) fail(EXIT_FAILURE, error.message);
  fail(EXIT_FAILURE, `the output cannot be written: ${describeErrno(error)}`);
}

function hear(listener: (error: unknown) => void): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', listener);
}

/** `profile` of `agent3 profile list`. */
function subcommandOf(action: Command): string {
  const { parent } = action;
  return parent?.parent ? subcommandOf(parent) : action.name();
}
