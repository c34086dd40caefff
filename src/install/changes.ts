import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fchmodSync,
  fchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { below, removeEmpty, sameContent, setGroup, unmountBelow } from './disk.ts';
import { mustRun, systemIds, userExists } from './machine.ts';

/** Owner and mode of a file. */
export interface Access {
  readonly mode: number;
  /** By name; undefined for root, who runs the installer. */
  readonly owner?: string | undefined;
  readonly group?: string | undefined;
}

const SHOWN_MAX_CHARS = 20_000;

function hasContent(path: string, content: string | Uint8Array): boolean {
  return existsSync(path) && readFileSync(path).equals(Buffer.from(content));
}

/** The changes of an installation. Each can be undone. In a dry run they are only printed. */
export class Changes {
  readonly #undo: (() => void)[] = [];
  readonly #backups: string[] = [];
  /** Directories that a dry run has printed. */
  readonly #planned = new Set<string>();
  readonly #written = new Set<string>();
  #count = 0;

  constructor(
    private readonly root: string,
    readonly dryRun: boolean,
    private readonly print: (line: string) => void,
  ) {}

  get count(): number {
    return this.#count;
  }

  /** Whether this file was written by `file`: it was missing, or another. */
  wrote(path: string): boolean {
    return this.#written.has(path);
  }

  /** Returns the path to read: below `--root` if given, which no link leaves. */
  at(path: string): string {
    return below(this.root, path);
  }

  /** Returns the path to make, replace or remove; a link at its end is not followed. */
  #place(path: string): string {
    return this.root === '/' || path === '/' ? this.at(path) : join(this.at(dirname(path)), basename(path));
  }

  /** Makes a directory, and those above it. An existing one keeps its content. */
  directory(path: string, access: Access): void {
    const target = this.#place(path);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there !== undefined && !there.isDirectory()) throw new Error(`${path} is not a directory`);
    if (there !== undefined && this.#hasAccess(target, access)) return;
    if (there === undefined) this.#makeParent(path);
    this.#note(`directory ${path} ${describeAccess(access)}`);
    if (this.dryRun) {
      this.#planned.add(path);
      return;
    }
    if (there === undefined) {
      mkdirSync(target, { mode: access.mode });
      this.#undo.push(() => removeEmpty(target));
    }
    this.#setAccess(target, access, constants.O_DIRECTORY);
  }

  /** Writes a file atomically, through a temporary file and a rename. */
  file(path: string, content: string | Uint8Array, access: Access, shown = String(content)): void {
    const target = this.#place(path);
    if (hasContent(target, content) && this.#hasAccess(target, access)) return;
    this.#makeParent(path);
    this.#note(`file ${path} ${describeAccess(access)}`);
    this.#written.add(path);
    if (this.dryRun) this.print(indent(shown.slice(0, SHOWN_MAX_CHARS)));
    else this.#put(target, access, (temporary) => writeFileSync(temporary, content, { mode: access.mode }));
  }

  /** Installs the executable by rename: a running one continues with the old file. */
  executable(path: string, source: string, access: Access): void {
    const target = this.#place(path);
    if (existsSync(target) && sameContent(target, source) && this.#hasAccess(target, access)) return;
    this.#makeParent(path);
    this.#note(`file ${path} ${describeAccess(access)}, a copy of ${source}`);
    if (!this.dryRun) this.#put(target, access, (temporary) => copyFileSync(source, temporary));
  }

  /** Lets a group read a file, and keeps its owner and the rights of others. */
  openTo(path: string, group: string): void {
    const target = this.#place(path);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there?.isFile() !== true || (there.mode & OTHERS_READ) !== 0) return;
    const gid = systemIds.gid(group);
    if (there.gid === gid && (there.mode & GROUP_READS) !== 0) return;
    this.#note(`group ${group} reads ${path}`);
    if (this.dryRun) return;
    this.#undo.push(() => setGroup(target, there.gid, there.mode));
    setGroup(target, gid, there.mode | GROUP_READS);
  }

  link(path: string, to: string): void {
    const target = this.#place(path);
    if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) return;
    this.#makeParent(path);
    this.#note(`link ${path} to ${to}`);
    if (this.dryRun) return;
    symlinkSync(to, target);
    this.#undo.push(() => rmSync(target, { force: true }));
  }

  /** Moves a file into an existing directory. */
  move(path: string, to: string): void {
    const from = this.at(path);
    const target = this.#place(to);
    if (!existsSync(from)) return;
    this.#note(`move ${path} to ${to}`);
    if (this.dryRun) return;
    rmSync(target, { force: true });
    copyFileSync(from, target);
    const { mode } = statSync(from);
    chmodSync(target, mode & 0o777);
    this.#remove(this.#place(path));
    this.#undo.push(() => rmSync(target, { force: true }));
  }

  remove(path: string): void {
    const target = this.#place(path);
    if (lstatSync(target, { throwIfNoEntry: false }) === undefined) return;
    this.#note(`remove ${path}`);
    if (!this.dryRun) this.#remove(target);
  }

  /** Removes a file, or a directory with its content. It cannot be undone. */
  removeTree(path: string): void {
    const target = this.#place(path);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there === undefined) return;
    this.#note(`remove ${path}${there.isDirectory() ? ' and everything in it' : ''}`);
    if (this.dryRun) return;
    unmountBelow(target);
    rmSync(target, { recursive: true, force: true });
  }

  removeEmptyDirectory(path: string): void {
    if (!this.dryRun) removeEmpty(this.#place(path));
  }

  /** Runs a system program. Throws `InstallFault` when it fails. `undo` reverts it. */
  command(argv: readonly string[], undo?: () => void): void {
    this.#note(`run ${argv.join(' ')}`);
    if (this.dryRun) return;
    mustRun(argv);
    if (undo !== undefined) this.#undo.push(undo);
  }

  /** Undoes all changes, the last one first. Prints what cannot be undone. */
  undo(): void {
    for (const step of this.#undo.splice(0).reverse()) {
      try {
        step();
      } catch (error) {
        this.print(`could not be undone: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  #note(line: string): void {
    this.#count++;
    this.print(line);
  }

  #makeParent(path: string): void {
    const parent = dirname(path);
    if (this.#planned.has(parent) || existsSync(this.at(parent))) return;
    if (parent !== '/') this.directory(parent, { mode: 0o755 });
    else if (!this.dryRun) mkdirSync(this.root, { recursive: true });
  }

  /** Replaces `target` by what `write` makes, and keeps the old file until the end of the installation. */
  #put(target: string, access: Access, write: (temporary: string) => void): void {
    const temporary = `${target}.agent3-new`;
    // A link in an image would lead the write elsewhere.
    rmSync(temporary, { force: true });
    try {
      write(temporary);
      this.#setAccess(temporary, access);
      const backup = this.#backup(target);
      renameSync(temporary, target);
      this.#undo.push(() => (backup === undefined ? rmSync(target, { force: true }) : backup()));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  #remove(target: string): void {
    const backup = this.#backup(target);
    rmSync(target, { force: true });
    this.#undo.push(() => backup?.());
  }

  /** Returns a function that restores `target` as it is now. */
  #backup(target: string): (() => void) | undefined {
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (there === undefined) return undefined;
    const temporary = `${target}.agent3-old`;
    rmSync(temporary, { force: true });
    // A hard link to the old file costs no space: the file is replaced by rename, never overwritten.
    linkSync(target, temporary);
    this.#backups.push(temporary);
    return () => renameSync(temporary, target);
  }

  /** Removes what was kept to undo, after a successful installation. */
  commit(): void {
    this.#undo.length = 0;
    for (const backup of this.#backups.splice(0)) rmSync(backup, { force: true });
  }

  #hasAccess(target: string, { mode, owner, group }: Access): boolean {
    const there = statSync(target, { throwIfNoEntry: false });
    if (there === undefined || (there.mode & 0o7777) !== mode) return false;
    if (process.geteuid?.() !== 0) return true;
    // A dry run may not have made the user.
    if (this.dryRun && owner !== undefined) return userExists(owner) && systemIds.uid(owner) === there.uid;
    return there.uid === systemIds.uid(owner ?? 'root') && there.gid === systemIds.gid(group ?? owner ?? 'root');
  }

  /** Works by descriptor, because in another user's directory a link may replace the file at any time. */
  #setAccess(target: string, { mode, owner, group }: Access, kind = 0): void {
    const fd = openSync(target, constants.O_RDONLY | constants.O_NOFOLLOW | kind);
    try {
      if (process.geteuid?.() === 0) {
        fchownSync(fd, systemIds.uid(owner ?? 'root'), systemIds.gid(group ?? owner ?? 'root'));
      }
      fchmodSync(fd, mode);
    } finally {
      closeSync(fd);
    }
  }
}

const OTHERS_READ = 0o004;
const GROUP_READS = 0o040;

function describeAccess({ mode, owner, group }: Access): string {
  return `mode ${mode.toString(8).padStart(4, '0')} owner ${owner ?? 'root'}:${group ?? owner ?? 'root'}`;
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}
