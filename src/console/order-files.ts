import { closeSync, constants, fstatSync, openSync, readdirSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { Value } from '@sinclair/typebox/value';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { readAtMost, readPlain } from '../lib/files.ts';
import { MAX_ORDER_BYTES, type OrderFile } from './order.ts';
import { orderFileSchema } from './order-schema.ts';

/** A directory of orders cannot be trusted or read; the message says why. */
export class OrdersFault extends Error {}

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const OTHERS_WRITE = 0o022;

/** Some 20,000 names: more would hold the reader up. */
const MAX_DIRECTORY_BYTES = 1_048_576;

/** Whether a file is called as orders are. */
export function isOrderName(name: string): boolean {
  return /^[0-9a-f-]{36}\.json$/.test(name);
}

/** Where a directory of orders is. */
export interface OrdersPlace {
  /** `AGENT3_CONSOLE_DIR`. */
  readonly console: string;
  readonly name: 'orders' | 'root-orders';
  /** A user whose directory proves nothing: that of the agent, as whom commands run. */
  readonly stranger: number | undefined;
}

/**
 * A directory in which the console leaves orders. It is held open, and everything in it is reached through it: its owner
 * cannot put another one in its place meanwhile, and no link in it is followed. To be disposed of.
 */
export class OrderDirectory implements Disposable {
  private constructor(
    private readonly fd: number,
    private readonly owner: number,
  ) {}

  /** Undefined where there is none yet. Throws `OrdersFault` for one that others than the console may write to. */
  static open({ console, name, stranger }: OrdersPlace): OrderDirectory | undefined {
    const outer = openDirectory(console);
    if (outer === undefined) return undefined;
    try {
      const stat = requireAlone(console, fstatSync(outer));
      if (stat.uid === stranger)
        throw new OrdersFault(`${console} belongs to the user of the agent, as whom commands run: it proves nothing`);
      const path = `${console}/${name}`;
      const fd = openDirectory(path, `/proc/self/fd/${outer}/${name}`);
      if (fd === undefined) return undefined;
      try {
        const { uid, size } = requireAlone(path, fstatSync(fd));
        if (uid !== stat.uid) throw new OrdersFault(`${path} does not belong to the owner of ${console}`);
        if (size > MAX_DIRECTORY_BYTES)
          throw new OrdersFault(`${path} has had too many files: remove it, then run agent3 install`);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      return new OrderDirectory(fd, stat.uid);
    } finally {
      closeSync(outer);
    }
  }

  /** Everything that is there, by its names. */
  names(): string[] {
    return readdirSync(`/proc/self/fd/${this.fd}`);
  }

  /** The ids of the files that are called as orders are. */
  ids(): string[] {
    return this.names()
      .filter(isOrderName)
      .map((name) => name.slice(0, -'.json'.length));
  }

  /** The order in a file, or why it is none. */
  read(id: string): OrderFile | string {
    try {
      return readPlain(this.#pathOf(`${id}.json`), (fd, { uid, mode }) => {
        if (uid !== this.owner) return `its file belongs to the user with the number ${uid}, not to the console`;
        if ((mode & OTHERS_WRITE) !== 0) return 'others than the console may write to its file';
        const text = readAtMost(fd, MAX_ORDER_BYTES);
        if (text === undefined) return 'its file is too large';
        const value: unknown = JSON.parse(text);
        if (!Value.Check(orderFileSchema, value) || value.order.id !== id) return 'its file has no order';
        return value as OrderFile;
      });
    } catch (error) {
      if (error instanceof SyntaxError) return 'its file has no order';
      return errnoOf(error) === undefined ? 'it is no file' : `its file cannot be read: ${describeErrno(error)}`;
    }
  }

  /** Removes a file, a link or an empty directory; whether it is gone. */
  remove(name: string): boolean {
    const path = this.#pathOf(name);
    for (const remove of [unlinkSync, rmdirSync]) {
      try {
        remove(path);
        return true;
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return true;
      }
    }
    return false;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
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
    throw new OrdersFault(`${path} cannot be used: ${describeErrno(error)}`);
  }
}

function requireAlone(path: string, stat: Stats): Stats {
  if ((stat.mode & OTHERS_WRITE) === 0) return stat;
  throw new OrdersFault(`others than its owner may write to ${path}: chmod go-w ${path}`);
}
