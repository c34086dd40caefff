import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { fileFingerprint, ownershipFault, readRegular, replaceFile } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { lockHolder, lockWithin } from '../linux/lock.ts';

/** A file of the fleet cannot be used; the message says why and what to do. */
export class FleetFileFault extends Error {}

/** Returns the JSON of a file of root, or of the user `own` of an agent started by hand. Undefined where the file is missing. Throws `FleetFileFault`. */
export function readRootsFile<T extends TSchema>(path: string, schema: T, own?: number): Static<T> | undefined {
  const text = readRootsText(path, own);
  if (text === undefined) return undefined;
  const value = parsed(text);
  if (Value.Check(schema, value)) return value;
  const fault = Value.Errors(schema, value).First();
  throw new FleetFileFault(
    `${path} is not valid (${value === undefined ? 'not JSON' : `${fault?.path || '/'}: ${fault?.message}`}). Restore a copy of it`,
  );
}

/** Returns the text of such a file. Throws `FleetFileFault`. */
export function readRootsText(path: string, own?: number): string | undefined {
  try {
    const fault = ownershipFault(path, own);
    if (fault !== undefined) throw new FleetFileFault(`${path} is not used: ${fault}`);
    return readRegular(path).toString('utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (error instanceof FleetFileFault) throw error;
    throw new FleetFileFault(`${path} cannot be read: ${describeErrno(error)}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Replaces a file atomically, also across a power failure. Throws `FleetFileFault`. */
export function writeRootsFile(path: string, text: string, mode = 0o644, group?: number): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    replaceFile(path, text, { mode, group }, 'on disk');
  } catch (error) {
    throw new FleetFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

const LOCK_WAIT_MS = 5000;

/** Runs `change` while no other process changes the file. Throws `FleetFileFault`, and what `change` throws. */
export function whileLocked<T>(path: string, change: () => T): T {
  const fd = openLock(path);
  try {
    if (lockWithin(fd, LOCK_WAIT_MS)) return change();
    throw new FleetFileFault(`${path} cannot be written now: ${lockHolder(fd)} holds ${path}.lock. Try it again`);
  } finally {
    closeSync(fd);
  }
}

function openLock(path: string): number {
  try {
    return openSync(`${path}.lock`, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    throw new FleetFileFault(`${path} cannot be written: ${describeErrno(error)}`);
  }
}

/** How often the file is checked for changes. */
const LOOK_MS = 300;

/** The content of a file, read again after each change. While the file is invalid, the last valid content counts. */
export class WatchedFile<T> implements Disposable {
  #value: T;
  #seen: string;
  readonly #timer: Timer;

  /** Calls `changed` with each new value except the first. Throws what the first `read` throws. */
  constructor(
    private readonly path: string,
    private readonly read: (path: string) => T,
    private readonly changed: (value: T) => void,
    private readonly logger: Logger,
  ) {
    this.#seen = fileFingerprint(path);
    this.#value = read(path);
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  get value(): T {
    return this.#value;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Reads the file now, if it has changed. */
  look(): void {
    const now = fileFingerprint(this.path);
    if (now === this.#seen) return;
    this.#seen = now;
    try {
      this.#value = this.read(this.path);
    } catch (error) {
      this.logger.warn(
        { err: error, file: this.path },
        'a file of the fleet cannot be used: the last valid content still counts',
      );
      return;
    }
    this.changed(this.#value);
  }
}
