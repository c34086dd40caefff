import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errnoOf, NotAFile } from './errors.ts';

/**
 * Returns a text that changes with every write of a file, and with its owner and mode; if the system shows none, the
 * reason. Never throws.
 */
export function fileFingerprint(path: string): string {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeMs} ${stat.ctimeMs}`;
  } catch (error) {
    // Reading the file then reports what is wrong with it.
    return errnoOf(error) ?? 'unknown';
  }
}

/**
 * Returns why the content of a file or directory may not come from its owner, who must be root or the user of the
 * agent, `own` (by default that of this process); undefined if it can be trusted. Throws the system's error.
 */
export function ownershipFault(path: string, own: number | undefined = process.geteuid?.()): string | undefined {
  return writableFault(path) ?? ownerFault(path, own);
}

/** Returns why others than its owner may have changed a file or directory. Throws the system's error, and `NotAFile`. */
export function writableFault(path: string): string | undefined {
  const stat = statSync(path);
  if (!stat.isFile() && !stat.isDirectory()) throw new NotAFile();
  const { mode } = stat;
  if ((mode & OTHERS_WRITE) === 0) return undefined;
  const octal = (mode & 0o7777).toString(8).padStart(4, '0');
  // Others rely on the mode of a directory such as /tmp.
  const cure = (mode & STICKY) === 0 ? `chmod go-w ${path}` : 'choose a directory of its own';
  return `others than its owner may write to it (mode ${octal}): ${cure}`;
}

/**
 * Returns why the owner of a file cannot be trusted. In a directory that only root can write to, files must be root's:
 * there the user of the agent counts as a stranger too, because commands run as it. Throws the system's error.
 */
export function ownerFault(path: string, own: number | undefined = process.geteuid?.()): string | undefined {
  const { uid } = statSync(path);
  if (uid === 0 || (uid === own && !isRootsAlone(dirname(path)))) return undefined;
  return `it belongs to the user with the number ${uid}, and has to be root's: chown root ${path}`;
}

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

function isRootsAlone(directory: string): boolean {
  const { uid, mode } = statSync(directory);
  return uid === 0 && (mode & OTHERS_WRITE) === 0;
}

/**
 * Returns the user of the agent that reads a file outside of the service's directories: for root, the directory's
 * owner.
 */
export function likelyOwner(path: string): number | undefined {
  const own = process.geteuid?.();
  return own === 0 ? (statSync(dirname(path), { throwIfNoEntry: false })?.uid ?? own) : own;
}

/**
 * Reads a file in a directory where others may have put a link or a pipe: neither is followed or waited for. Throws the
 * system's error, also if it is not a file.
 */
export function readPlain<T>(path: string, read: (fd: number, stat: Stats) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new NotAFile(`${path} is not a file`);
    return read(fd, stat);
  } finally {
    closeSync(fd);
  }
}

/** Returns the bytes of a file, through links. Throws the system's error, and `NotAFile` instead of waiting for a pipe. */
export function readRegular(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() && !stat.isDirectory()) throw new NotAFile();
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Returns the text of a file; undefined if it has more bytes, or grows beyond them meanwhile. */
export function readAtMost(fd: number, bytes: number): string | undefined {
  const room = Buffer.alloc(bytes + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length < room.length; length += read)
    read = readSync(fd, room, length, room.length - length, null);
  return length > bytes ? undefined : room.toString('utf8', 0, length);
}

/** Syncs the names in a directory to the disk. Throws the system's error. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Rotates a file as logrotate does: `log` becomes `log.1`, `log.1` becomes `log.2`, and the oldest above `keep` are
 * removed. Throws the system's error if the file cannot be moved; then nothing was moved.
 */
export function putAside(path: string, keep: number): void {
  finishPutAside(path, keep);
  renameSync(path, `${path}.0`);
  makeRoom(path, keep);
}

/** Completes an interrupted rotation: logrotate has no `log.0`. Throws the system's error. */
export function finishPutAside(path: string, keep: number): void {
  if (existsSync(`${path}.0`)) makeRoom(path, keep);
}

/**
 * Moves each older file on by one, up to the first free number, the oldest first. Whenever this is interrupted, their
 * order stays, and none is removed before there are more than `keep`.
 */
function makeRoom(path: string, keep: number): void {
  const name = basename(path);
  const numbered = readdirSync(dirname(path))
    .filter((entry) => entry.startsWith(`${name}.`))
    .map((entry) => /^(\d{1,6})(\.gz)?$/.exec(entry.slice(name.length + 1)))
    .filter((match) => match !== null)
    .map(([, number, ending = '']) => ({ number: Number(number), ending }))
    .sort((a, b) => b.number - a.number);
  let free = 1;
  while (numbered.some(({ number }) => number === free)) free++;
  for (const { number, ending } of numbered) {
    const from = join(dirname(path), `${name}.${number}${ending}`);
    if (number > keep || (number === keep && number < free)) rmSync(from);
    else if (number < free) renameSync(from, join(dirname(path), `${name}.${number + 1}${ending}`));
  }
}

/** Calls that wait for the same file to be on the disk share one sync: of ten calls at once, most wait for the same. */
export class GroupSync {
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `sync` writes to the disk what was written before it began. */
  constructor(private readonly sync: () => Promise<void>) {}

  /** Resolves when all that was written before this call is on the disk. Rejects with the system's error. */
  request(): Promise<void> {
    if (this.#running === undefined && this.#next === undefined) return this.#begin();
    this.#next ??= this.idle().then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  /** Resolves when the current sync has ended, successful or not. */
  async idle(): Promise<void> {
    try {
      await this.#running;
    } catch {
      // Reported to those who asked for it.
    }
  }

  #begin(): Promise<void> {
    this.#running = this.sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }
}

/**
 * Replaces a file that everybody may read who may enter its directory, whatever the umask is; with `on disk`, it is on
 * the disk when this returns. Throws the system's error.
 */
export function replaceReadable(path: string, text: string, durability?: 'on disk'): void {
  replaceFile(path, text, { mode: 0o644 }, durability);
}

/**
 * The same with its own permissions, and with a group of root's choice. A reader sees the old file or the new one,
 * whole.
 */
export function replaceFile(
  path: string,
  text: string,
  { mode, group }: { readonly mode: number; readonly group?: number | undefined },
  durability?: 'on disk',
): void {
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    if (group !== undefined) fchownSync(fd, 0, group);
    fchmodSync(fd, mode);
    writeFileSync(fd, text);
    if (durability !== undefined) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  if (durability !== undefined) syncDirectory(dirname(path));
}
