import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isForRoot, newOrder, type Order, type OrderFile } from '../../src/console/order.ts';
import { writePasskeys } from '../../src/console/passkeys.ts';
import { Authenticator } from './authenticator.ts';
import { TemporaryDirectory } from './directories.ts';

/** A user that is neither root nor that of an agent. */
export const CONSOLE_USER = 64_001;

export type Without<T> = T extends Order
  ? Omit<T, 'id' | 'at' | 'nonce'> & Partial<Pick<T, 'id' | 'at' | 'nonce'>>
  : never;

/** What the owner's console leaves on the disk, and a phone whose passkey root has pinned. To be disposed of. */
export class ConsoleFiles implements Disposable {
  readonly #place = new TemporaryDirectory();
  readonly directory = this.#place.join('console');
  readonly answers = this.#place.join('answers');
  readonly passkeysFile = this.#place.join('passkeys.json');
  readonly phone = new Authenticator();

  /** The directory belongs to `owner`, and the agent, with this number as user and group, may read it. */
  constructor(
    readonly owner = CONSOLE_USER,
    readonly group = owner,
  ) {
    chmodSync(this.#place.path, 0o755);
    for (const name of ['', 'orders', 'root-orders', 'links', 'subscriptions']) {
      const path = join(this.directory, name);
      mkdirSync(path, { mode: 0o750 });
      chownSync(path, owner, group);
    }
    mkdirSync(this.#place.join('run'), { mode: 0o750 });
    chownSync(this.#place.join('run'), group, group);
  }

  /** The settings of an agent with this console. */
  get settings() {
    return {
      AGENT3_CONSOLE_DIR: this.directory,
      AGENT3_CONSOLE_KEY: 'k'.repeat(40),
      AGENT3_CONSOLE_SOCKET: this.#place.join('run/console.sock'),
      AGENT3_CONSOLE_ANSWERS: this.answers,
      AGENT3_PASSKEYS_FILE: this.passkeysFile,
    };
  }

  /** Pins the passkey of the phone. */
  async pin(...more: Authenticator[]): Promise<void> {
    await this.pinOnly(this.phone, ...more);
  }

  /** Pins these passkeys, in place of all others. */
  async pinOnly(...phones: Authenticator[]): Promise<void> {
    const passkeys = await Promise.all(phones.map((one) => one.passkey()));
    const { origin, rpId: rp_id } = this.phone;
    writePasskeys(this.passkeysFile, { origin, rp_id, passkeys, sessions: [] });
  }

  /** Leaves an order as the console does, without a signature unless it is given one; returns its id. */
  leave(order: Without<Order>, more: Partial<OrderFile> = {}): string {
    const whole = { ...newOrder(), ...order } as Order;
    this.write(whole, { order: whole, by: 'Anna', ...more });
    return whole.id;
  }

  /** Leaves an order that the phone has signed; returns its id. */
  async leaveSigned(order: Without<Order>, phone = this.phone): Promise<string> {
    const whole = { ...newOrder(), ...order } as Order;
    return this.leave(whole, { assertion: await phone.sign(whole) });
  }

  /** Writes any content into the place of an order. */
  write({ id, kind }: Pick<Order, 'id' | 'kind'>, content: unknown, owner = this.owner): string {
    const path = join(this.directory, isForRoot({ kind } as Order) ? 'root-orders' : 'orders', `${id}.json`);
    writeFileSync(`${path}.new`, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o640 });
    chownSync(`${path}.new`, owner, this.group);
    renameSync(`${path}.new`, path);
    return path;
  }

  [Symbol.dispose](): void {
    this.#place[Symbol.dispose]();
  }
}
