import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { detach, mountOverlay } from '../platform/libc.ts';
import { ownPlace, viewPath, withUmask } from './view-place.ts';

/** A view may not see a file that has taken another's place; so old, it is made anew for the next command. */
const FRESH_MS = 5000;
/** A sandbox that was started with a view has bound it long before. Each mount that is there costs every sandbox time. */
const KEPT_MS = 10_000;

interface View {
  readonly path: string;
  readonly madeMs: number;
}

/**
 * /etc without what is hidden, for agents that are root. What is mounted on a file is gone when the file is replaced, as
 * passwd(1) does with /etc/shadow: here the names are hidden, by an overlay with a whiteout for each, whatever comes to
 * bear them.
 */
class EtcViews {
  readonly #views = new Map<string, View>();
  readonly #masks = new Map<string, string>();
  #count = 0;
  #isImpossible = false;

  /** The path of a view without `names` (absolute, below /etc); undefined where none can be had. */
  without(names: readonly string[]): string | undefined {
    if (this.#isImpossible || process.geteuid?.() !== 0) return undefined;
    const key = names.join('\0');
    const known = this.#views.get(key);
    const now = performance.now();
    if (known !== undefined && now - known.madeMs < FRESH_MS) return known.path;
    const path = withUmask(0o022, () => this.#make(key, names));
    if (path === undefined) return undefined;
    this.#views.set(key, { path, madeMs: now });
    if (known !== undefined) setTimeout(() => drop(known.path), KEPT_MS).unref();
    return path;
  }

  #make(key: string, names: readonly string[]): string | undefined {
    try {
      const path = viewPath(String(++this.#count));
      mkdirSync(path, { mode: 0o711 });
      const mask = this.#masks.get(key) ?? makeMask(join(ownPlace(), `mask-${this.#count}`), names);
      this.#masks.set(key, mask);
      if (mountOverlay(path, `lowerdir=${mask}:/etc`)) return path;
    } catch {
      // No file system for it, or no right to mount: as below.
    }
    this.#isImpossible = true;
    return undefined;
  }
}

export const etcViews = new EtcViews();

/** The layer above /etc: its directories, and a whiteout (a device 0:0) for each name. */
function makeMask(path: string, names: readonly string[]): string {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const whiteouts: string[] = [];
  for (const name of names) {
    const inside = name.slice('/etc/'.length);
    const above = dirname(inside);
    if (above !== '.' && !isDirectory(join('/etc', above))) continue;
    if (above !== '.') copyDirectories(path, above);
    whiteouts.push(join(path, inside));
  }
  for (const whiteout of whiteouts) {
    const { exitCode } = Bun.spawnSync(['/bin/mknod', whiteout, 'c', '0', '0'], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    if (exitCode !== 0) throw new Error(`no whiteout ${whiteout}`);
  }
  return path;
}

/** The directories of /etc down to `inside`, as they are there: the upper layer tells their owner and mode. */
function copyDirectories(mask: string, inside: string): void {
  const parts = inside.split('/');
  for (let depth = 1; depth <= parts.length; depth++) {
    const part = parts.slice(0, depth).join('/');
    const target = join(mask, part);
    if (existsSync(target)) continue;
    const { mode, uid, gid } = statSync(join('/etc', part));
    mkdirSync(target);
    chownSync(target, uid, gid);
    chmodSync(target, mode & 0o7777);
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function drop(path: string): void {
  detach(path);
  rmSync(path, { recursive: true, force: true });
}
