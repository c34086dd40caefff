import { fstatSync, statSync } from 'node:fs';
import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino';
import { putAside } from '../lib/files.ts';

export type { Logger } from 'pino';

type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

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
type LogTarget = { readonly file: string } | { readonly isTerminal: boolean };

/** JSON lines; on a terminal, lines for people. Throws the system's error for a file that cannot be opened. */
export async function openLog(level: LogLevel, target: LogTarget): Promise<Log> {
  const options = { level, base: null, formatters: { level: (label: string) => ({ level: label }) } };
  if ('file' in target) return linesToFile(options, target.file);
  if (!target.isTerminal) {
    const destination = stderrDestination();
    return logTo(pino(options, destination), destination);
  }
  return { logger: pino(options, await prettyStream()), reopen: () => {}, flush: async () => {}, drop: () => {} };
}

function linesToFile(options: LoggerOptions, path: string): Log {
  const file = new BoundedFile(path);
  const logger = pino(options, file);
  const reopen = (): void => {
    const leftOut = file.reopen();
    if (leftOut > 0) logger.warn({ lines: leftOut }, 'lines were left out while the log was full');
  };
  return logTo(logger, file.destination, reopen);
}

function logTo(logger: Logger, destination: Destination, reopen = (): void => {}): Log {
  // A log that nobody can take any more (EPIPE, a full disk) is no reason to end.
  destination.on('error', () => {});
  return { logger, reopen, flush: () => flushInTime(destination), drop: () => destination.destroy() };
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

type Destination = ReturnType<typeof pino.destination>;

/**
 * Log lines wait in memory while their destination takes none (a full pipe, a stopped terminal). Beyond this many bytes
 * the oldest are dropped: the agent must not stop because nobody reads its log.
 */
const MAX_BUFFERED_BYTES = 4 * 1_048_576;

/** Owner and group may read it: it names sessions and addresses. */
const LOG_FILE_MODE = 0o640;

/** Where a file of the log is to be put aside; it never has more than twice as much. */
const LOG_FILE_BYTES = 64 * 1_048_576;

/** Older files that are kept: as many as ops/agent3.logrotate keeps. */
const KEPT_FILES = 7;

/**
 * The file of a log. It is put aside when it is large enough; where its directory is not the agent's, logrotate does
 * that, and lines that come while it has twice as much are left out. Throws the system's error when it cannot be opened.
 */
export class BoundedFile {
  readonly destination: Destination;
  #size: number;
  #leftOut = 0;
  /** Only logrotate can put it aside. */
  #isFixed = false;

  constructor(
    private readonly path: string,
    private readonly fileBytes = LOG_FILE_BYTES,
  ) {
    this.destination = pino.destination({
      dest: path,
      mode: LOG_FILE_MODE,
      sync: true,
      maxLength: MAX_BUFFERED_BYTES,
    });
    this.#size = sizeOf(path);
  }

  write(line: string): void {
    if (this.#size >= this.fileBytes && !this.#isFixed) this.#putAside();
    const bytes = Buffer.byteLength(line);
    if (this.#size + bytes > 2 * this.fileBytes) {
      this.#leftOut++;
      return;
    }
    this.destination.write(line);
    this.#size += bytes;
  }

  /** Opens the file that is there now; gives how many lines were left out. */
  reopen(): number {
    this.destination.reopen();
    this.#size = sizeOf(this.path);
    this.#isFixed = false;
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut;
  }

  #putAside(): void {
    try {
      putAside(this.path, KEPT_FILES);
      this.reopen();
    } catch {
      this.#isFixed = true;
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
