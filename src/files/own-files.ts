import {
  close,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsync,
  ftruncateSync,
  lstatSync,
  openSync,
  read,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  write,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describeErrno, errnoOf, isOutOfFiles, MachineRefused } from '../lib/errors.ts';
import { syncDirectory } from '../lib/files.ts';
import { changedOnItsWay, pathFault, type Sink, type Source } from './carrier.ts';

const readSome = promisify(read);
const writeSome = promisify(write);
const sync = promisify(fsync);

/** The collector is slower to free larger pieces. */
const PIECE_BYTES = 262_144;

/** Opens a file for reading with the rights of the agent. Throws `InvalidArguments` for a path that is not a file. */
export function openOwnSource(path: string): Source {
  const { fd, bytes, mode } = openRegular(path);
  return {
    path: readlinkSync(`/proc/self/fd/${fd}`),
    bytes,
    mode,
    read: async (offset, length) => {
      const piece = new Uint8Array(Math.max(0, Math.min(length, PIECE_BYTES, bytes - offset)));
      if (piece.length === 0) return piece;
      try {
        const { bytesRead } = await readSome(fd, piece, 0, piece.length, offset);
        return piece.subarray(0, bytesRead);
      } catch (error) {
        throw new MachineRefused(`The file cannot be read: ${describeErrno(error)}.`, error);
      }
    },
    // After the read that is under way.
    close: () => close(fd, () => {}),
  };
}

function openRegular(path: string): Pick<Source, 'bytes' | 'mode'> & { readonly fd: number } {
  try {
    // Looked at before: some devices act when they are opened.
    requireFile(path, lstatSync(path));
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = fstatSync(fd);
      requireFile(path, stat);
      if (stat.size === 0 && readSync(fd, Buffer.alloc(1), 0, 1, 0) > 0) throw pathFault(path, 'kernel');
      return { fd, bytes: stat.size, mode: stat.mode & 0o777 };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } catch (error) {
    throw faultOf(path, error);
  }
}

function requireFile(path: string, stat: Stats): void {
  if (stat.isSymbolicLink()) throw pathFault(path, 'ELOOP');
  if (stat.isDirectory()) throw pathFault(path, 'EISDIR');
  if (!stat.isFile()) throw pathFault(path, 'special');
}

/**
 * Opens a new file to replace `path`, with the rights of the agent, and with the mode and owner of the old file; `mode`
 * is that of a new one. Throws `InvalidArguments` for a path that cannot be a file.
 */
export function openOwnSink(path: string, mode: number): Sink {
  const directory = openDirectory(path);
  const at = (name: string): string => `/proc/self/fd/${directory}/${name}`;
  const target = at(basename(path));
  const temporary = at(newName());
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  let fd: number | undefined;
  try {
    const before = lstatSync(target, { throwIfNoEntry: false });
    if (before !== undefined) requireFile(path, before);
    fd = openSync(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (error) {
    closeSync(directory);
    throw faultOf(path, error);
  }
  const real = join(readlinkSync(`/proc/self/fd/${directory}`), basename(path));
  return new OwnSink(real, { directory, target, temporary, fd, mode });
}

/** Returns a name for a file that is not complete yet. */
export const newName = (): string => `.agent3-${crypto.randomUUID()}`;

interface OpenSink {
  readonly directory: number;
  readonly target: string;
  readonly temporary: string;
  readonly fd: number;
  readonly mode: number;
}

class OwnSink implements Sink {
  #at = 0;
  #isCommitted = false;

  constructor(
    readonly path: string,
    private readonly open: OpenSink,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    await this.#doing('written', async () => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await writeSome(this.open.fd, bytes, done, bytes.length - done, this.#at);
        done += bytesWritten;
        this.#at += bytesWritten;
      }
    });
  }

  async restart(): Promise<void> {
    await this.#doing('emptied', () => ftruncateSync(this.open.fd));
    this.#at = 0;
  }

  async sha256(): Promise<string> {
    const hasher = new Bun.CryptoHasher('sha256');
    const piece = new Uint8Array(PIECE_BYTES);
    await this.#doing('read', async () => {
      for (let at = 0; ; ) {
        const { bytesRead } = await readSome(this.open.fd, piece, 0, piece.length, at);
        if (bytesRead === 0) return;
        hasher.update(piece.subarray(0, bytesRead));
        at += bytesRead;
      }
    });
    return hasher.digest('hex');
  }

  async commit(): Promise<void> {
    const { directory, target, temporary, fd, mode } = this.open;
    await this.#doing('put in its place', async () => {
      const before = lstatSync(target, { throwIfNoEntry: false });
      if (before !== undefined) requireFile(this.path, before);
      if (before !== undefined && process.geteuid?.() === 0) fchownSync(fd, before.uid, before.gid);
      fchmodSync(fd, before === undefined ? mode : before.mode & 0o777);
      await sync(fd);
      const [mine, named] = [fstatSync(fd), lstatSync(temporary, { throwIfNoEntry: false })];
      if (named?.ino !== mine.ino || named.dev !== mine.dev) throw changedOnItsWay();
      renameSync(temporary, target);
      this.#isCommitted = true;
      syncDirectory(`/proc/self/fd/${directory}/.`);
    });
  }

  close(): void {
    const { directory, temporary, fd } = this.open;
    if (!this.#isCommitted) rmSync(temporary, { force: true });
    close(fd, () => {});
    closeSync(directory);
  }

  async #doing(what: string, work: () => void | Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      throw new MachineRefused(`The file cannot be ${what}: ${describeErrno(error)}. The old one is as it was.`, error);
    }
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? pathFault(path, 'ENOTDIR') : faultOf(path, error);
  }
}

function faultOf(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  return errno === undefined || isOutOfFiles(error) ? error : pathFault(path, errno === 'EPERM' ? 'EACCES' : errno);
}
