import { fstatSync } from 'node:fs';
import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino';

import { BoundedFile, type Destination, MAX_BUFFERED_BYTES } from './bounded-file.ts';

export type { Logger } from 'pino';

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

const STDERR = 2;

/** A log, and the way to write what is still in memory before the process ends. */
export interface Log {
  readonly logger: Logger;
  /** Opens the log's file anew, after logrotate has moved it away; nothing for standard error. */
  reopen(): void;
  flush(): Promise<void>;
  /** Gives up what is still in memory: nothing waits any more for a reader that takes none. */
  drop(): void;
}

/** Where a log goes: a file by its path, or standard error, which may be a terminal. */
export type LogTarget = { readonly file: string } | { readonly isTerminal: boolean };

/** JSON lines; on a terminal, lines for people. Throws the system's error for a file that cannot be opened. */
export async function openLog(level: LogLevel, target: LogTarget): Promise<Log> {
  const options = { level, base: null, formatters: { level: (label: string) => ({ level: label }) } };
  if ('file' in target) return linesToFile(options, target.file);
  if (!target.isTerminal) return linesTo(options, stderrDestination());
  return { logger: pino(options, await prettyStream()), reopen: () => {}, flush: async () => {}, drop: () => {} };
}

function linesTo(options: LoggerOptions, destination: Destination): Log {
  // A log that nobody can take any more (EPIPE, a full disk) is no reason to end.
  destination.on('error', () => {});
  return {
    logger: pino(options, destination),
    reopen: () => {},
    flush: () => flushInTime(destination),
    drop: () => destination.destroy(),
  };
}

function linesToFile(options: LoggerOptions, path: string): Log {
  const file = new BoundedFile(path);
  const logger = pino(options, file);
  return {
    logger,
    reopen: () => {
      const leftOut = file.reopen();
      if (leftOut > 0) logger.warn({ lines: leftOut }, 'lines were left out while the log was full');
    },
    flush: () => flushInTime(file.destination),
    drop: () => file.destination.destroy(),
  };
}

function stderrDestination(): Destination {
  return pino.destination({
    fd: STDERR,
    sync: isFile(STDERR),
    maxLength: MAX_BUFFERED_BYTES,
    // Each line is written at once all the same; but with 0, `flush` would wait for nothing.
    minLength: 1,
  });
}

/** A file always takes a line at once, which costs less than handing it to another thread; a pipe may be full. */
function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    // A descriptor that was closed before the start.
    return false;
  }
}

/** Pino's transports are worker threads, which a compiled executable cannot start: the formatter runs as a stream. */
async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({ destination: STDERR, sync: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
}

/** A reader that takes no more lines holds the end of the agent up for no longer than this. */
const FLUSH_MS = 500;

function flushInTime(destination: { flush(done: () => void): void }): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, FLUSH_MS);
    destination.flush(() => resolve());
  });
}
