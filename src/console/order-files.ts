import { closeSync, constants, fstatSync, openSync, renameSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { readAtMost, readPlain } from '../lib/files.ts';
import { readNames } from '../linux/entries.ts';
import { ConsoleFault } from './fault.ts';
import { MAX_ORDER_BYTES, type OrderFile, REMOVED } from './order.ts';
import { orderFileSchema } from './order-schema.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const OTHERS_WRITE = 0o022;

const NO_ORDER = 'its file has no order';

/** More would hold the reader up. */
const MOST_NAMES = 20_000;

/** The id in the name of a file that is called as orders are. */
function idOf(name: Buffer): string | undefined {
  return /^([0-9a-f-]{36})\.json$/.exec(name.toString('latin1'))?.[1];
}

/** Where a directory of orders is. */
export interface OrdersPlace {
  /** `AGENT3_CONSOLE_DIR`, or that around `AGENT3_HUB_ORDERS_DIR`. */
  readonly console: string;
  readonly name: string;
  /** A user whose directory proves nothing: that of the agent, as whom commands run. */
  readonly stranger: number | undefined;
  /** What lies there proves nothing, and counts by a signature alone: no mode and no number of files keeps root from it. */
  readonly isUntrusted?: boolean;
}

/**
 * A directory in which the console leaves orders. It is held open, and everything in it is reached through it: its owner
 * cannot put another one in its place meanwhile, and no link in it is followed. To be disposed of.
 */
export class OrderDirectory implements Disposable {
  private constructor(
    private readonly outer: number,
    private readonly fd: number,
    private readonly owner: number,
    /** Everything that was there when it was opened. */
    readonly names: readonly Buffer[],
  ) {}

  /** Undefined while the directory is missing. Throws `ConsoleFault` where others than the console may write to it. */
  static open({ console, name, stranger, isUntrusted = false }: OrdersPlace): OrderDirectory | undefined {
    const outer = openDirectory(console);
    if (outer === undefined) return undefined;
    let fd: number | undefined;
    let opened: OrderDirectory | undefined;
    try {
      const check = isUntrusted ? (_: string, stat: Stats) => stat : requireAlone;
      const stat = check(console, fstatSync(outer));
      if (stat.uid === stranger)
        throw new ConsoleFault(`${console} belongs to the user of the agent, as whom commands run: it proves nothing`);
      const path = `${console}/${name}`;
      fd = openDirectory(path, `/proc/self/fd/${outer}/${name}`);
      if (fd === undefined) return undefined;
      const { uid } = check(path, fstatSync(fd));
      if (uid !== stat.uid) throw new ConsoleFault(`${path} does not belong to the owner of ${console}`);
      const names = readNames(fd, MOST_NAMES);
      if (names.length > MOST_NAMES && !isUntrusted)
        throw new ConsoleFault(`${path} has more than ${MOST_NAMES} files: remove them`);
      opened = new OrderDirectory(outer, fd, stat.uid, names);
      return opened;
    } finally {
      if (opened === undefined) for (const one of [fd, outer]) if (one !== undefined) closeSync(one);
    }
  }

  /** There may be more than `names`. */
  get isFull(): boolean {
    return this.names.length > MOST_NAMES;
  }

  /** The ids of the files that are called as orders are. */
  ids(): string[] {
    return this.names.map(idOf).filter((id) => id !== undefined);
  }

  /** What is called as no order is. */
  strays(): Buffer[] {
    return this.names.filter((name) => idOf(name) === undefined);
  }

  /** Returns the order in a file, or why the file is not an order. */
  read(id: string): OrderFile | string {
    const found = this.load(id, MAX_ORDER_BYTES);
    if (typeof found === 'string') return found;
    const { value } = found;
    return Value.Check(orderFileSchema, value) && value.order.id === id ? (value as OrderFile) : NO_ORDER;
  }

  /** Returns the JSON in a file of the console's of at most `mostBytes`, or why it does not count. */
  load(id: string, mostBytes: number): { readonly value: unknown } | string {
    try {
      return readPlain(this.#pathOf(`${id}.json`), (fd, { uid, mode }) => {
        if (uid !== this.owner) return `its file belongs to the user with the number ${uid}, not to the console`;
        if ((mode & OTHERS_WRITE) !== 0) return 'others than the console may write to its file';
        const text = readAtMost(fd, mostBytes);
        return text === undefined ? 'its file is too large' : { value: JSON.parse(text) };
      });
    } catch (error) {
      if (error instanceof SyntaxError) return NO_ORDER;
      return errnoOf(error) === undefined ? 'it is not a file' : `its file cannot be read: ${describeErrno(error)}`;
    }
  }

  /**
   * Takes away what has a name; whether it is gone. A directory that is not empty is moved into that of the console, which
   * removes it at its next start: root walks through nothing that its owner may change meanwhile.
   */
  remove(name: string | Buffer): boolean {
    const path = Buffer.concat([Buffer.from(this.#pathOf('')), Buffer.from(name)]);
    const moveOut = (): void => renameSync(path, `/proc/self/fd/${this.outer}/${REMOVED}${crypto.randomUUID()}`);
    for (const remove of [() => unlinkSync(path), () => rmdirSync(path), moveOut]) {
      try {
        remove();
        return true;
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return true;
      }
    }
    return false;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
    closeSync(this.outer);
  }

  #pathOf(name: string): string {
    return `/proc/self/fd/${this.fd}/${name}`;
  }
}

function openDirectory(path: string, through = path): number | undefined {
  try {
    return openSync(through, DIRECTORY);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw new ConsoleFault(`${path} cannot be used: ${describeErrno(error)}`);
  }
}

function requireAlone(path: string, stat: Stats): Stats {
  if ((stat.mode & OTHERS_WRITE) === 0) return stat;
  throw new ConsoleFault(`others than its owner may write to ${path}: chmod go-w ${path}`);
}
