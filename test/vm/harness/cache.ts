import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { lockHolder, lockWithin } from '../../../src/linux/lock.ts';

/** What a process leaves in an entry it uses, so that no other run removes it: the number is the process. */
const IN_USE = /^in-use-(\d+)$/;
const BUILDING = /^building-(\d+)-/;

/** Where images are kept between runs. */
export function cacheDirectory(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'agent3-vm');
}

/**
 * The cached directory `name`, filled by `fill` when it is not there. It is filled under a temporary name and renamed
 * when complete: of two runs that need it one fills it, and an interrupted one leaves nothing that is used.
 */
export function cachedDirectory(name: string, fill: (directory: string) => void): string {
  const directory = join(cacheDirectory(), name);
  if (!existsSync(directory)) {
    using _alone = new MakingLock(`${directory.replace(/-[^-]*$/, '')}.lock`);
    if (!existsSync(directory)) {
      using building = new BuildDirectory();
      fill(building.path);
      chmodSync(building.path, 0o755);
      claim(building.path, directory);
    }
  }
  markInUse(directory);
  removeOthers(name);
  return directory;
}

/** Longer than anything takes to be made. */
const MAKING_MS = 900_000;

/** Held by the process that makes something: others that need the same wait for it, and block, instead of making it too. */
export class MakingLock implements Disposable {
  readonly #fd: number;

  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, 'a');
    if (!lockWithin(this.#fd, MAKING_MS)) throw new Error(`${path} is held by ${lockHolder(this.#fd)}`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** A place to build in, on the cache's file system, so that the result can be renamed into it. */
export class BuildDirectory implements Disposable {
  readonly path: string;

  constructor() {
    mkdirSync(cacheDirectory(), { recursive: true });
    this.path = mkdtempSync(join(cacheDirectory(), `building-${process.pid}-`));
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Renames what was built to its final name, unless somebody else was faster. */
export function claim(built: string, target: string): void {
  try {
    renameSync(built, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
  }
}

/** The mark stays when the process ends, which `bun test` does not announce: the next one removes it. */
function markInUse(directory: string): void {
  try {
    for (const file of readdirSync(directory)) {
      const user = IN_USE.exec(file)?.[1];
      if (user !== undefined && !isAlive(Number(user))) rmSync(join(directory, file), { force: true });
    }
    writeFileSync(join(directory, `in-use-${process.pid}`), '');
  } catch {
    // Another user's cache, which may be read and not written: its owner cleans it.
  }
}

/** An image that was not used for longer goes; a younger one may be another checkout's. */
const KEPT_MS = 3 * 86_400_000;

/** Removes what nobody uses any more: entries of older recipes, and what interrupted builds have left. */
function removeOthers(name: string): void {
  const cache = cacheDirectory();
  for (const entry of readdirSync(cache)) {
    const path = join(cache, entry);
    const builder = BUILDING.exec(entry)?.[1];
    const isOver = builder === undefined ? isUnused(path) : !isAlive(Number(builder));
    if (entry !== name && isOver) rmSync(path, { recursive: true, force: true });
  }
}

function isUnused(directory: string): boolean {
  try {
    return Date.now() - statSync(directory).mtimeMs > KEPT_MS && !usersOf(directory).some(isAlive);
  } catch {
    // Another run has removed it meanwhile.
    return false;
  }
}

function usersOf(directory: string): number[] {
  return readdirSync(directory)
    .flatMap((file) => IN_USE.exec(file)?.[1] ?? [])
    .map(Number);
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}
