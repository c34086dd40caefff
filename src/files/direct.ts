import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, open, readlink, rename, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { describeErrno, errnoOf, isOutOfFiles, MachineRefused } from '../lib/errors.ts';
import { MAX_FILE_BYTES } from '../lib/limits.ts';
import { makeDirectories, O_PATH, type OpenDirectory, openDirectory, removeEmpty, selfPath } from './directory.ts';
import {
  changedMeanwhile,
  type FileBytes,
  type FilePlace,
  type FileStat,
  kindOf,
  type NewFile,
  notAllowed,
  type ParsedPath,
  type Range,
  rangeIn,
  refusedBySystem,
} from './place.ts';

/**
 * Opens the place of a path with the rights of the agent: for profiles without isolation. `range` is what is read of a
 * file that is too large to be read whole.
 */
export async function openDirect({ directory, name }: ParsedPath, range: Range): Promise<FilePlace> {
  const parent = await openDirectory(directory);
  try {
    return new DirectPlace(parent, name, range, parent.missing === undefined ? await lookAt(parent, name) : undefined);
  } catch (error) {
    await parent.handle.close();
    throw error;
  }
}

interface Seen {
  /** Identifies what was seen, and grants no access. */
  readonly handle: FileHandle;
  readonly stat: FileStat;
  readonly target: string | undefined;
}

class DirectPlace implements FilePlace {
  constructor(
    private readonly parent: OpenDirectory,
    private readonly name: string,
    private readonly range: Range,
    private readonly seen: Seen | undefined,
  ) {}

  get path(): string {
    return posix.join(this.parent.path, this.parent.missing ?? '', this.name);
  }

  get missing(): string | undefined {
    return this.parent.missing;
  }

  get stat(): FileStat | undefined {
    return this.seen?.stat;
  }

  get target(): string | undefined {
    return this.seen?.target;
  }

  async read(): Promise<FileBytes> {
    const { seen, path } = this;
    if (seen?.stat.kind !== 'file') throw notAllowed('read', path, 'it is not a file');
    try {
      // The very file that was seen, whatever has its name by now. A file of /proc may wait for an event: this does
      // not.
      await using handle = await open(selfPath(seen.handle), constants.O_RDONLY | constants.O_NONBLOCK);
      const { size } = seen.stat;
      if (size <= MAX_FILE_BYTES) {
        const bytes = await readPart(handle, 0, MAX_FILE_BYTES + 1, size);
        if (bytes.length <= MAX_FILE_BYTES) return { bytes, start: 0, size: bytes.length, isWhole: true };
      }
      const { offset, bytes } = rangeIn(this.range, size);
      return { bytes: await readPart(handle, offset, bytes, bytes), start: offset, size, isWhole: false };
    } catch (error) {
      throw refusedBySystem('read', path, error);
    }
  }

  async replace({ bytes, mode, owner }: NewFile): Promise<void> {
    await using directory = await this.#directoryToWrite();
    const temporary = `${directory.path}/${temporaryName()}`;
    try {
      const version = await this.#write(temporary, bytes, mode, owner);
      await this.#requireSame(temporary, version);
      const final = `${directory.path}/${this.name}`;
      if (this.seen === undefined) return await this.#name(temporary, final);
      await this.#requireSame(final);
      await rename(temporary, final);
    } catch (error) {
      await rm(temporary, { force: true });
      throw this.#refusal('written', error);
    }
  }

  async remove(directories = 0): Promise<void> {
    const path = `${selfPath(this.parent.handle)}/${this.name}`;
    try {
      await this.#requireSame(path);
      await rm(path);
    } catch (error) {
      throw this.#refusal('removed', error);
    }
    if (directories > 0) await removeEmpty(this.parent, directories);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.seen?.handle.close();
    await this.parent.handle.close();
  }

  /** Returns the directory of the file, and makes it if it is missing. */
  async #directoryToWrite(): Promise<{ readonly path: string } & AsyncDisposable> {
    const existing = selfPath(this.parent.handle);
    if (this.missing === undefined) return { path: existing, [Symbol.asyncDispose]: async () => {} };
    try {
      const handle = await makeDirectories(this.parent, this.missing, this.path);
      return { path: selfPath(handle), [Symbol.asyncDispose]: () => handle.close() };
    } catch (error) {
      throw this.#refusal('written', error);
    }
  }

  /** Makes a file, and resolves with its version. Throws `FileConflict` if somebody else has written to it. */
  async #write(path: string, bytes: Uint8Array, mode: number | undefined, owner: NewFile['owner']): Promise<string> {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    await using handle = await open(path, flags, owner === undefined && mode === undefined ? 0o666 : 0o600);
    await handle.writeFile(bytes);
    if (owner !== undefined) {
      const made = await handle.stat();
      if (made.uid !== owner.user || made.gid !== owner.group) await handle.chown(owner.user, owner.group);
    }
    // After the owner: chown(2) removes set-id bits.
    if (mode !== undefined) await handle.chmod(mode);
    await handle.sync();
    const { version } = statOf(await handle.stat({ bigint: true }));
    if (!(await holds(handle, bytes))) throw changedMeanwhile(this.path);
    return version;
  }

  /** Sets the name of a new file, if no file has it. */
  async #name(temporary: string, final: string): Promise<void> {
    try {
      await link(temporary, final);
      await rm(temporary);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw changedMeanwhile(this.path);
      if (!NO_LINKS.has(errnoOf(error) ?? '')) throw error;
      // A file system without hard links.
      if ((await lstat(final).catch(() => undefined)) !== undefined) throw changedMeanwhile(this.path);
      await rename(temporary, final);
    }
  }

  async #requireSame(path: string, version = this.stat?.version): Promise<void> {
    const now = await lstat(path, { bigint: true }).catch(() => undefined);
    if (now === undefined || statOf(now).version !== version) throw changedMeanwhile(this.path);
  }

  #refusal(what: string, error: unknown): unknown {
    const code = errnoOf(error);
    if (code === undefined || isOutOfFiles(error)) return error;
    const why = describeErrno(error);
    if (DISK.has(code))
      return new MachineRefused(`${JSON.stringify(this.path)} was not ${what}: ${why}. It is as it was before.`, error);
    if (/^\/(?:proc|sys)\//.test(this.path))
      return notAllowed(
        what,
        this.path,
        `files of the kernel cannot be replaced. Write to it with shell: echo … > FILE`,
      );
    if (code === 'EPERM' || code === 'EACCES') {
      const more = this.stat === undefined ? '' : ', or the file belongs to another user or group, which it would lose';
      return notAllowed(what, this.path, `${why}: the directory cannot be written to${more}`);
    }
    return notAllowed(what, this.path, why);
  }
}

const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);
const DISK: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM']);

/** Returns a name for a file that is not complete yet. */
export function temporaryName(): string {
  return `.agent3-${randomBytes(9).toString('hex')}`;
}

async function lookAt({ handle: directory, path }: OpenDirectory, name: string): Promise<Seen | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(`${selfPath(directory)}/${name}`, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw refusedBySystem('looked at', posix.join(path, name), error);
  }
  try {
    const stat = statOf(await handle.stat({ bigint: true }));
    const target = stat.kind === 'link' ? await readlink(`${selfPath(directory)}/${name}`).catch(() => '') : undefined;
    return { handle, stat, target };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

interface BigStat {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

function statOf({ dev, ino, mode, nlink, uid, gid, size, mtimeNs, ctimeNs }: BigStat): FileStat {
  return {
    kind: kindOf(Number(mode)),
    size: Number(size),
    mode: Number(mode) & 0o7777,
    user: Number(uid),
    group: Number(gid),
    links: Number(nlink),
    version: [dev, ino, size, mtimeNs, ctimeNs].join(' '),
  };
}

/** Returns at most `most` bytes from `start`. `likely` is how many are expected, if known. */
async function readPart(handle: FileHandle, start: number, most: number, likely: number): Promise<Uint8Array> {
  // One more than expected: the same read finds the end.
  let buffer = Buffer.allocUnsafe(Math.min(most, likely + 1));
  let filled = 0;
  for (;;) {
    if (filled === buffer.length) {
      if (filled >= most) break;
      const larger = Buffer.allocUnsafe(Math.min(most, buffer.length * 2 + 65_536));
      buffer.copy(larger);
      buffer = larger;
    }
    const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Bytes that are compared at once. */
const COMPARED_BYTES = 1_048_576;

/** Whether these are all the bytes of a file. */
async function holds(handle: FileHandle, bytes: Uint8Array): Promise<boolean> {
  const piece = Buffer.allocUnsafe(Math.min(bytes.length + 1, COMPARED_BYTES));
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return at === bytes.length;
    if (!piece.subarray(0, bytesRead).equals(bytes.subarray(at, at + bytesRead))) return false;
    at += bytesRead;
  }
}
