import { fstatSync, statSync } from 'node:fs';
import pino, { type DestinationStream, type Logger, type LoggerOptions } from 'pino';
import { putAside } from '../lib/files.ts';

export type { Logger } from 'pino';

type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

const STDERR = 2;

/** A log, with a way to write what is still in memory before the process ends. */
export interface Log {
  readonly logger: Logger;
  /** Opens the log file again, after logrotate has moved it. Does nothing for standard error. */
  reopen(): void;
  flush(): Promise<void>;
  /** Drops what is still in memory, when the reader does not read. */
  drop(): void;
}

/** Destination of a log: the path of a file, or standard error, which may be a terminal. */
type LogTarget = { readonly file: string } | { readonly isTerminal: boolean };

/** Opens a log of JSON lines; on a terminal, lines for people. Throws the system's error when the file cannot be opened. */
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
  // The agent does not end because its log cannot be written (EPIPE, a full disk).
  destination.on('error', () => {});
  return { logger, reopen, flush: () => flushInTime(destination), drop: () => destination.destroy() };
}

function stderrDestination(): Destination {
  return pino.destination({
    fd: STDERR,
    sync: isFile(STDERR),
    maxLength: MAX_BUFFERED_BYTES,
    // Each line is still written at once, but with 0, `flush` would not wait.
    minLength: 1,
  });
}

/** A file accepts a line at once, which is cheaper than another thread. A pipe may be full. */
function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    // The descriptor was closed before the start.
    return false;
  }
}

/** Pino's transports are worker threads, which a compiled executable cannot start: the formatter runs as a stream. */
async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty');
  return pretty({ destination: STDERR, sync: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
}

/** Longest time that the end of the agent waits for a reader of the log. */
const FLUSH_MS = 500;

function flushInTime(destination: { flush(done: () => void): void }): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, FLUSH_MS);
    destination.flush(() => resolve());
  });
}

type Destination = ReturnType<typeof pino.destination>;

/**
 * Most bytes of log lines in memory while the destination accepts none (a full pipe, a stopped terminal). Above that, the
 * oldest are dropped, so that the agent never waits for its log.
 */
const MAX_BUFFERED_BYTES = 4 * 1_048_576;

/** Owner and group may read it, because it names sessions and addresses. */
const LOG_FILE_MODE = 0o640;

/** Size at which the log is rotated. It never exceeds twice that. */
const LOG_FILE_BYTES = 64 * 1_048_576;

/** Number of older files, as in ops/agent3.logrotate. */
const KEPT_FILES = 7;

/**
 * A log file. It is rotated when it is large enough. When its directory does not belong to the agent, logrotate does that,
 * and lines above twice the size are left out. Throws the system's error when the file cannot be opened.
 */
export class BoundedFile {
  readonly destination: Destination;
  #size: number;
  #leftOut = 0;
  /** True when only logrotate can rotate it. */
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

  /** Opens the current file. Returns how many lines were left out. */
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
