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
} from 'node:fs';
import { join } from 'node:path';
import { readPlain } from '../lib/files.ts';
import { isForRoot, ORDER_MS, type Order, type OrderFile, type OrderResult } from './order.ts';

/** What the owner's terminal says of a link. */
export interface LinkAnswer {
  readonly state: 'open' | 'pinned' | 'refused' | 'over';
  readonly why?: string;
}

/** Files that are older are of no use to anybody. */
const OLD_MS = 3 * ORDER_MS;
const LINK_MS = 15 * 60_000;

/** What the console leaves in its directory, and what root answers. */
export class PostBox {
  constructor(
    private readonly directory: string,
    private readonly answers: string,
  ) {}

  /** Leaves an order; one that is there already stays. Throws the system's error. */
  leaveOrder(file: OrderFile): void {
    this.#sweep('orders', OLD_MS);
    this.#sweep('root-orders', OLD_MS);
    const path = this.#pathOf(file.order);
    if (!existsSync(path)) write(path, file);
  }

  /** Takes an order back, or away when it is done. */
  removeOrder(order: Order): void {
    rmSync(this.#pathOf(order), { force: true });
  }

  /** What root has answered to an order; undefined: nothing yet. */
  rootResult({ id }: Order): OrderResult | undefined {
    return this.#answer(`order-${id}.json`) as OrderResult | undefined;
  }

  /** How a link stands; undefined for one that nobody has made, or that is long over. */
  linkAnswer(id: string): LinkAnswer | undefined {
    return this.#answer(`link-${id}.json`) as LinkAnswer | undefined;
  }

  /** Leaves for root what a phone has answered to a link. Throws the system's error. */
  leaveLink(id: string, answer: object): void {
    this.#sweep('links', LINK_MS);
    write(join(this.directory, 'links', `${id}.json`), answer);
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
    for (const entry of readdirSync(directory)) {
      const path = join(directory, entry);
      const age = Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.NaN);
      if (age > oldMs) rmSync(path, { force: true });
    }
  }
}

/** The group of its directory may read it, whatever the umask is. A reader sees all of it or nothing. */
function write(path: string, value: object): void {
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    fchmodSync(fd, 0o640);
    writeFileSync(fd, JSON.stringify(value));
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}
