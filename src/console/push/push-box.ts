import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { readPlain } from '../../lib/files.ts';
import { write } from '../post-box.ts';
import {
  idOfEndpoint,
  MOST_SUBSCRIPTIONS,
  type Subscription,
  type subscribeSchema,
  subscriptionSchema,
} from './subscription.ts';

/** What the console keeps of the browsers that are notified: a file for each, which the agent reads. */
export class PushBox {
  /** `directory` is that of the console. */
  constructor(private readonly directory: string) {}

  /** Returns the subscription of an endpoint; undefined when it has no subscription. */
  find(endpoint: string): Subscription | undefined {
    return this.#read(`${idOfEndpoint(endpoint)}.json`);
  }

  /**
   * Keeps a subscription of `of`, and replaces one with the same endpoint. Removes those of people who are not in `known`
   * any more. Returns whether there was room. Throws the system's error.
   */
  put(sent: Static<typeof subscribeSchema>, of: string, known: ReadonlySet<string>): boolean {
    const name = `${idOfEndpoint(sent.endpoint)}.json`;
    for (const one of this.#names()) if (!known.has(this.#read(one)?.of ?? '')) this.#remove(one);
    const others = this.#names().filter((one) => one !== name);
    if (others.length >= MOST_SUBSCRIPTIONS) return false;
    const subscription: Subscription = { ...sent, of, made_at: Date.now() };
    write(this.#pathOf(name), subscription);
    return true;
  }

  /** Forgets the subscription of an id. */
  remove(id: string): void {
    if (/^[0-9a-f-]{36}$/.test(id)) this.#remove(`${id}.json`);
  }

  #names(): string[] {
    return readdirSync(join(this.directory, 'subscriptions'));
  }

  #read(name: string): Subscription | undefined {
    try {
      const value: unknown = readPlain(this.#pathOf(name), (fd) => JSON.parse(readFileSync(fd, 'utf8')));
      return Value.Check(subscriptionSchema, value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  #remove(name: string): void {
    rmSync(this.#pathOf(name), { force: true, recursive: true });
  }

  #pathOf(name: string): string {
    return join(this.directory, 'subscriptions', name);
  }
}
