import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import type { PassedLine } from '../console/passed-on.ts';
import { signatureSchema } from '../console/passkeys.ts';
import type { Logger } from '../lib/logger.ts';
import { readRootsText, WatchedFile, writeRootsFile } from './roots-file.ts';

/** A `PassedLine`, and when it was written, in milliseconds since the epoch. */
const lineSchema = Type.Object({
  at: Type.Integer(),
  kind: Type.String(),
  by: Type.String(),
  order: Type.String(),
  server: Type.String(),
  passed_on: Type.String(),
  why: Type.Optional(Type.String()),
  signed: Type.Optional(signatureSchema),
});

/** A thaw of a thousand servers has 2 MiB. */
const MOST_BYTES = 4 * 1_048_576;

/** Orders of the console that root of a hub has passed on to servers, a line each: the agent puts them on record, which may be dead meanwhile. */
function passedPath(directory: string): string {
  return join(directory, 'passed-on.jsonl');
}

/** Notes, as root, an order that was passed on. Of a file that has become too large, the newer half stays. Throws the system's error. */
export function notePassed(directory: string, line: PassedLine, mostBytes = MOST_BYTES): void {
  const path = passedPath(directory);
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined || size > mostBytes) {
    const newer = size === undefined ? Buffer.alloc(0) : readFileSync(path).subarray(-mostBytes / 2);
    // The agent may read it, whatever the umask of root is.
    writeRootsFile(path, newer.toString('utf8', newer.indexOf('\n') + 1));
  }
  appendFileSync(path, `${JSON.stringify({ at: Date.now(), ...line })}\n`);
}

export interface PassedDeps {
  /** Of the fleet. */
  readonly directory: string;
  readonly trail: { agent(what: string, fields: Readonly<Record<string, unknown>>): void };
  /** Time of the last line of an earlier agent's record, in milliseconds since the epoch. Undefined without one. */
  readonly endOfEarlier: number | undefined;
  readonly logger: Logger;
}

/** An agent that was killed may have died before it put a line on record: what is that much older than its last line comes again. */
const AGAIN_MS = 2000;
/** Without a record of an earlier agent, older lines are not put on record. */
const LATE_MS = 600_000;

/** Puts on the record of a hub what its root has passed on to servers, also what was passed on while no agent ran. */
export class PassedOrders implements Disposable {
  readonly #file: WatchedFile<string>;
  /** The line that was looked at last. */
  #last = '';

  constructor(private readonly deps: PassedDeps) {
    const { directory, endOfEarlier = Date.now() - LATE_MS, logger } = deps;
    const path = passedPath(directory);
    this.#file = new WatchedFile(
      path,
      () => this.#read(path),
      () => this.#note(0),
      logger,
    );
    this.#note(endOfEarlier - AGAIN_MS);
  }

  /** Looks at the file once more. */
  [Symbol.dispose](): void {
    this.#file.look();
    this.#file[Symbol.dispose]();
  }

  /** Puts on record the lines that are new, and not older than a time. */
  #note(since: number): void {
    const { value: text } = this.#file;
    const known = this.#last === '' ? -1 : text.lastIndexOf(this.#last);
    const from = known === -1 ? 0 : known + this.#last.length;
    const lines = text.slice(from, text.lastIndexOf('\n') + 1).match(/.*\n/g) ?? [];
    this.#last = lines.at(-1) ?? this.#last;
    for (const line of lines) {
      const value = parsed(line);
      if (!Value.Check(lineSchema, value) || value.at < since) continue;
      const { at, ...fields } = value;
      this.deps.trail.agent('order', { ...fields, at: new Date(at).toISOString() });
    }
  }

  /** A file that cannot be used keeps the hub from nothing else. */
  #read(path: string): string {
    try {
      return readRootsText(path) ?? '';
    } catch (error) {
      this.deps.logger.warn({ err: error }, 'what root has passed on to servers is not put on record');
      return '';
    }
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // A full disk has kept a part of it out.
    return undefined;
  }
}
