import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { join } from 'node:path';
import { accessList, detach, mountOverlay, setAccessList } from '../linux/libc.ts';
import { Evidence } from './evidence.ts';
import { isWithin, outermost } from './hidden.ts';
import { allHomes } from './homes.ts';
import { idOf } from './pattern-tree.ts';
import { lstatOrUndefined } from './reach.ts';
import { layerPath, viewPath, withUmask } from './view-place.ts';

/** A view may miss a file that has replaced another: after this time, a new one is made for the next command. */
const FRESH_MS = 5000;
/** A sandbox that was started with a view has bound it long before. Each existing mount costs every sandbox time. */
const KEPT_MS = 10_000;
const MAX_VIEWS = 50;

/** A view, and what is mounted in the directory: an overlay only shows the file system below. */
interface View {
  readonly path: string;
  readonly mounts: readonly string[];
}

interface KnownView extends View {
  readonly madeMs: number;
  readonly layerPath: string;
}

/** What hides names in a directory: itself, the directories on the way, and the names, relative to it. */
interface Mask {
  readonly directories: readonly Directory[];
  readonly whiteouts: readonly string[];
}

/** A directory, and who has which access to it. */
interface Directory extends Pick<Stats, 'mode' | 'uid' | 'gid'> {
  readonly inside: string;
  /** Its access control list, as the kernel returns it, in hexadecimal. */
  readonly access: string | undefined;
}

/** A layer with a mask, valid while the directories on the way look as they did. */
interface Layer {
  readonly path: string;
  readonly homes: readonly string[];
  readonly evidence: Evidence;
}

/**
 * Directories without what is hidden in them, for agents that are root. A mount on a file is gone when the file is
 * replaced, as passwd(1) does with /etc/shadow, and nothing can be mounted on a missing file. So an overlay hides the
 * names with a whiteout for each, whatever has them later: those that a pattern spells out.
 */
class HidingViews {
  readonly #views = new Map<string, KnownView>();
  readonly #masks = new Map<string, string>();
  readonly #layers = new Map<string, Layer>();
  readonly #impossible = new Set<string>();
  #count = 0;

  /**
   * Returns the path of a view of `root` without what is hidden in it: names that patterns spell out (`~/` means `root`
   * if that is a home), and `existing` paths that they match. Only the user with the number `uid` can reach it: by the
   * view, nobody else passes the directories above `root`. Undefined if it cannot be made.
   */
  without(root: string, patterns: readonly string[], existing: readonly string[], uid: number): View | undefined {
    if (process.geteuid?.() !== 0 || this.#impossible.has(root)) return undefined;
    const key = [root, uid, idOf(patterns), ...existing].join('\0');
    const known = this.#views.get(key);
    const made = withUmask(0o022, () => this.#make(root, patterns, existing, uid, known));
    if (made === undefined || made === known) return made;
    this.#views.set(key, made);
    if (known !== undefined) setTimeout(() => drop(known.path), KEPT_MS).unref();
    this.#dropOldest();
    return made;
  }

  /** Returns a new view, or the last one if it is fresh and its layer is still the right one. */
  #make(
    root: string,
    patterns: readonly string[],
    existing: readonly string[],
    uid: number,
    known: KnownView | undefined,
  ): KnownView | undefined {
    try {
      const layer = this.#layerFor(root, patterns, existing);
      if (known?.layerPath === layer && performance.now() - known.madeMs < FRESH_MS) return known;
      const path = viewPath(String(++this.#count), uid);
      mkdirSync(path, { mode: 0o711 });
      const mounts = mountsBelow(root, existing);
      if (mountOverlay(path, `lowerdir=${layer}:${root}`))
        return { path, mounts, layerPath: layer, madeMs: performance.now() };
    } catch {
      // No file system for it, or no right to mount: as below.
    }
    this.#impossible.add(root);
    return undefined;
  }

  #layerFor(root: string, patterns: readonly string[], existing: readonly string[]): string {
    const id = [root, idOf(patterns), ...existing].join('\0');
    const homes = allHomes();
    const known = this.#layers.get(id);
    if (known !== undefined && known.homes === homes && known.evidence.holds()) return known.path;
    const evidence = new Evidence();
    const mask = maskOf(root, namesBelow(root, patterns, existing), evidence);
    const key = JSON.stringify([root, mask]);
    const path = this.#masks.get(key) ?? makeLayer(layerPath(String(++this.#count)), mask);
    this.#masks.set(key, path);
    if (this.#layers.size >= MAX_VIEWS) this.#layers.clear();
    this.#layers.set(id, { path, homes, evidence });
    return path;
  }

  #dropOldest(): void {
    const [oldest] = this.#views;
    if (oldest === undefined || this.#views.size <= MAX_VIEWS) return;
    this.#views.delete(oldest[0]);
    setTimeout(() => drop(oldest[1].path), KEPT_MS).unref();
  }
}

export const hidingViews = new HidingViews();

/** Returns the options of bwrap(1) that mount a view in place of its directory. */
export function showView({ path, mounts }: View, root: string): string[] {
  return ['--ro-bind', path, root, ...mounts.flatMap((mount) => ['--ro-bind-try', mount, mount])];
}

function namesBelow(root: string, patterns: readonly string[], existing: readonly string[]): string[] {
  const isHome = allHomes().includes(root);
  const named = patterns
    .filter((pattern) => !pattern.includes('*') && (isHome || !pattern.startsWith('~/')))
    .map((pattern) => pattern.replace(/^~(?=\/)/, root));
  return outermost([...named, ...existing].filter((path) => path.startsWith(`${root}/`)));
}

/** A name in a missing directory is hidden with the first missing directory on its way. */
function maskOf(root: string, names: readonly string[], evidence: Evidence): Mask {
  evidence.addDirectory(root);
  const directories = new Map<string, Directory>([['', describe(root, '', lstatSync(root))]]);
  const whiteouts = new Set<string>();
  // Hundreds of names share a few directories.
  const looked = new Map<string, Stats | undefined>();
  const look = (inside: string): Stats | undefined => {
    if (!looked.has(inside)) {
      const stat = lstatOrUndefined(join(root, inside));
      looked.set(inside, stat);
      if (stat?.isDirectory() === true) evidence.addDirectory(join(root, inside));
    }
    return looked.get(inside);
  };
  for (const name of names) {
    let inside = '';
    for (const part of name.slice(root.length + 1).split('/')) {
      inside = inside === '' ? part : `${inside}/${part}`;
      const isLast = join(root, inside) === name;
      const stat = isLast ? undefined : look(inside);
      if (stat?.isDirectory() !== true) {
        // A link or a file on the way leads elsewhere, or nowhere: its target is hidden by its own path.
        if (stat === undefined) whiteouts.add(inside);
        break;
      }
      if (!directories.has(inside)) directories.set(inside, describe(root, inside, stat));
    }
  }
  return { directories: [...directories.values()], whiteouts: [...whiteouts] };
}

function describe(root: string, inside: string, { mode, uid, gid }: Stats): Directory {
  return { inside, mode, uid, gid, access: accessList(join(root, inside))?.toString('hex') };
}

/** Makes the upper layer: directories as they are below, and a whiteout (a device 0:0) for each name. */
function makeLayer(path: string, { directories, whiteouts }: Mask): string {
  for (const directory of directories) makeDirectory(join(path, directory.inside), directory);
  const whiteout = `${path}-whiteout`;
  const made = Bun.spawnSync(['/bin/mknod', whiteout, 'c', '0', '0'], { stdio: ['ignore', 'ignore', 'ignore'] });
  if (made.exitCode !== 0) throw new Error(`no whiteout ${whiteout}`);
  // One node with many names: making hundreds of nodes would take half a second.
  for (const name of whiteouts) linkSync(whiteout, join(path, name));
  return path;
}

/** The upper layer decides who has access to a directory. */
function makeDirectory(path: string, { mode, uid, gid, access }: Directory): void {
  mkdirSync(path);
  chownSync(path, uid, gid);
  chmodSync(path, mode & 0o7777);
  if (access !== undefined && !setAccessList(path, Buffer.from(access, 'hex')))
    throw new Error(`${path}: no access control list can be set`);
}

/** At most so many mount points in a directory are shown. */
const MAX_MOUNTS = 20;

/** Returns what is mounted below a directory and is not hidden, at most so much. */
function mountsBelow(root: string, hidden: readonly string[]): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    // A blank is `\\040` there (proc(5)): such mounts stay empty.
    .filter((path) => path.startsWith(`${root}/`) && !path.includes('\\') && existsSync(path))
    .filter((path) => !hidden.some((one) => isWithin(one, path)));
  return outermost(points).slice(0, MAX_MOUNTS);
}

function drop(path: string): void {
  detach(path);
  rmSync(path, { recursive: true, force: true });
}
