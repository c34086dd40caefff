import {
  closeSync,
  existsSync,
  fchmodSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../lib/errors.ts';
import { readPlain } from '../lib/files.ts';
import { isForRoot, isSigned, ORDER_MS, type Order, type OrderFile, type OrderResult, REMOVED } from './order.ts';

/** What the owner's terminal says of a link. */
export interface LinkAnswer {
  readonly state: 'open' | 'pinned' | 'refused' | 'over';
  readonly why?: string;
  /** What the owner has named the device at the terminal. */
  readonly name?: string;
  /** Of the answer that counted. */
  readonly mac?: string;
}

/** Files that are older are of no use to anybody. */
const OLD_MS = 3 * ORDER_MS;
const LINK_MS = 15 * 60_000;

/** A command that has filled the disk must not keep its owner from freezing: these files hold the place of orders. */
const SPARE_FILES = 8;
/** Of these, so many are for what narrows alone: approvals that are left at once must not take the place of a freeze. */
const NARROW_FILES = 4;
const BLANK = Buffer.alloc(4096, ' ');

/** What the console leaves in its directory, and what root answers. */
export class PostBox {
  constructor(
    private readonly directory: string,
    private readonly answers: string,
  ) {
    this.#makeSpares();
    this.#emptyBin();
  }

  /** What root has moved out of its orders: whatever lies in there, it is this user's own, and nobody needs it. */
  #emptyBin(): void {
    if (!existsSync(this.directory)) return;
    for (const name of readdirSync(this.directory).filter((one) => one.startsWith(REMOVED))) {
      try {
        rmSync(join(this.directory, name), { recursive: true, force: true });
      } catch {
        // Somebody has made a directory of it that even its owner cannot read: it is tried again at the next start.
      }
    }
  }

  /** Leaves an order, also on a full disk; one that is there already stays. Throws the system's error. */
  leaveOrder(file: OrderFile): void {
    this.#sweep('orders', OLD_MS);
    this.#sweep('root-orders', OLD_MS);
    const path = this.#pathOf(file.order);
    if (existsSync(path)) return;
    try {
      write(path, file);
      this.#makeSpares();
    } catch (error) {
      rmSync(`${path}.new`, { force: true });
      if (!isFull(error) || !this.#useSpare(path, file)) throw error;
    }
  }

  /** Takes an order back, or away when it is done. */
  removeOrder(order: Order): void {
    rmSync(this.#pathOf(order), { force: true });
  }

  /** What root has answered to an order; undefined: nothing yet. */
  rootResult({ id }: Order): OrderResult | undefined {
    return this.#answer(`order-${id}.json`) as OrderResult | undefined;
  }

  /** Returns the state of a link; undefined for one that was never made, or that ended long ago. */
  linkAnswer(id: string): LinkAnswer | undefined {
    return this.#answer(`link-${id}.json`) as LinkAnswer | undefined;
  }

  /** Leaves for root what a phone has answered to a link. Throws the system's error. */
  leaveLink(id: string, answer: object): void {
    this.#sweep('links', LINK_MS);
    write(join(this.directory, 'links', `${id}.json`), answer);
  }

  /** Where `links` is: what is made there has the group of the agent, and nobody looks for orders there. */
  get #spares(): string[] {
    return Array.from({ length: SPARE_FILES }, (_, at) => join(this.directory, 'links', `.spare-${at}`));
  }

  #makeSpares(): void {
    for (const path of this.#spares.filter((one) => !existsSync(one))) {
      try {
        writeFileSync(`${path}.new`, BLANK, { mode: 0o600 });
        renameSync(`${path}.new`, path);
      } catch {
        // The disk is full already, or the directory is not there.
        rmSync(`${path}.new`, { force: true });
      }
    }
  }

  /** Makes an order of a file that has its place on the disk; whether there was one. */
  #useSpare(path: string, file: OrderFile): boolean {
    const json = Buffer.from(JSON.stringify(file));
    const [spare, ...others] = this.#spares.filter((one) => existsSync(one));
    if (spare === undefined || json.length > BLANK.length) return false;
    if (isSigned(file.order) && others.length < NARROW_FILES) return false;
    const fd = openSync(spare, 'r+');
    try {
      // The blanks behind it are no part of JSON.
      writeSync(fd, json, 0, json.length, 0);
      fchmodSync(fd, 0o640);
    } finally {
      closeSync(fd);
    }
    renameSync(spare, path);
    return true;
  }

  #pathOf(order: Order): string {
    return join(this.directory, isForRoot(order) ? 'root-orders' : 'orders', `${order.id}.json`);
  }

  /** What root has written, or the user of an agent that is no service. */
  #answer(name: string): unknown {
    try {
      return readPlain(join(this.answers, name), (fd, { uid }) =>
        uid === 0 || uid === process.geteuid?.() ? JSON.parse(readFileSync(fd, 'utf8')) : undefined,
      );
    } catch {
      return undefined;
    }
  }

  #sweep(name: string, oldMs: number): void {
    const directory = join(this.directory, name);
    for (const entry of readdirSync(directory).filter((one) => !one.startsWith('.'))) {
      const path = join(directory, entry);
      const age = Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NaN);
      if (age > oldMs) rmSync(path, { force: true });
    }
  }
}

/** The group of its directory may read it, whatever the umask is. A reader sees all of it or nothing. */
export function write(path: string, value: object): void {
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    fchmodSync(fd, 0o640);
    writeFileSync(fd, JSON.stringify(value));
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
}
