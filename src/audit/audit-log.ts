import { closeSync, constants, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import type { Clock } from '../core/clock.ts';
import { describeErrno } from '../core/errors.ts';
import type { Notices } from '../core/notices.ts';
import { tryLock } from '../platform/libc.ts';
import { GENESIS, hashLine, parseLine } from './chain.ts';

/** The record cannot be used; the message says why and what to do. */
export class AuditFault extends Error {}

/** Where the last line of a record is noted, so that lines that are cut off at its end are missed. */
export function headPath(path: string): string {
  return `${path}.head`;
}

/** Lines of ends that a full disk kept out, and that come when it has room again. */
const MAX_OWED = 10_000;

/** Longest piece at the end of a file that is read for its last line. */
const TAIL_BYTES = 1_048_576;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The record: a line of JSON each, with the hash of the line before. A line is one write(2) with O_APPEND, and is in the
 * kernel's hands when `write` returns: it survives the death of the agent, not that of the machine in the seconds after.
 */
export class AuditLog {
  #fd: number;
  #head: number;
  #seq = 0;
  #prev = GENESIS;
  /** Bytes that the file must have. */
  #size: number;
  #endsTorn = false;
  readonly #owed: (() => Fields)[] = [];
  #isTold = false;

  /** Opens the record and goes on where it ends. Throws `AuditFault`. */
  constructor(
    private readonly path: string,
    private readonly clock: Clock,
    private readonly notices: Notices,
  ) {
    try {
      this.#fd = openRecord(path);
      this.#head = openSync(headPath(path), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o640);
    } catch (error) {
      throw new AuditFault(`the audit record ${path} cannot be opened: ${describeErrno(error)}`);
    }
    if (!tryLock(this.#head)) throw new AuditFault(`another agent writes the audit record ${path}`);
    this.#size = fstatSync(this.#fd).size;
    this.#goOn();
  }

  /** Adds a line. Throws `AuditFault` when it cannot be written: what it is about must not happen then. */
  write(fields: Fields): void {
    this.#payOwed();
    this.#append(fields);
  }

  /** Adds a line about what has happened already: where it cannot be written now, it comes later. */
  writeLater(fields: () => Fields): void {
    this.#owed.push(fields);
    try {
      this.#payOwed();
    } catch {
      if (this.#owed.length > MAX_OWED) this.#owed.shift();
    }
  }

  /** Opens the file that is there now, after logrotate has put the other aside. The chain goes on. */
  reopen(): void {
    const fd = openRecord(this.path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
    this.#endsTorn = false;
  }

  #payOwed(): void {
    for (let first = this.#owed[0]; first !== undefined; first = this.#owed[0]) {
      this.#append(first());
      this.#owed.shift();
    }
  }

  #append(fields: Fields): void {
    this.#look();
    if (this.#endsTorn) {
      // What was left of a line that was not written whole stays, as evidence, and the chain goes on behind it.
      this.#put('\n');
      this.#endsTorn = false;
      this.#line({ event: 'recovered', what: 'the line before was not written whole' });
    }
    this.#line(fields);
  }

  #line(fields: Fields): void {
    const { event, ...more } = fields;
    const seq = this.#seq + 1;
    const time = new Date(this.clock.now()).toISOString();
    const line = JSON.stringify({ seq, time, event, ...more, prev: this.#prev });
    this.#put(`${line}\n`);
    this.#seq = seq;
    this.#prev = hashLine(line);
    // In place, of one length: it is never seen half.
    writeSync(this.#head, `${String(seq).padStart(16, '0')} ${this.#prev}\n`, 0);
    this.#isTold = false;
  }

  #put(text: string): void {
    const bytes = Buffer.from(text);
    let written = 0;
    try {
      written = writeSync(this.#fd, bytes);
    } catch (error) {
      this.#fail(describeErrno(error), error);
    }
    this.#size += written;
    if (written === bytes.length) return;
    this.#endsTorn = written > 0;
    if (written > 0) this.#prev = hashLine(bytes.subarray(0, written));
    this.#fail('the disk is full', undefined);
  }

  /** Told once until it works again. */
  #fail(fault: string, cause: unknown): never {
    if (!this.#isTold) this.notices.warn({ path: this.path, fault }, 'the audit record cannot be written');
    this.#isTold = true;
    throw new AuditFault(`the audit record cannot be written: ${fault}`, { cause });
  }

  /** Somebody else may have written, cut or replaced the file: the next line says so. */
  #look(): void {
    const { size, ino, nlink } = fstatSync(this.#fd);
    const there = statSync(this.path, { throwIfNoEntry: false });
    if (size === this.#size && nlink > 0 && there?.ino === ino) return;
    const isMoved = size === this.#size && nlink > 0;
    this.#size = size;
    // logrotate puts the file aside and tells the agent a moment later.
    if (isMoved) return;
    if (nlink === 0) this.reopen();
    this.notices.warn({ path: this.path }, 'the audit record was changed by somebody else');
    this.#endsTorn = false;
    if (!endsWithLine(this.#fd, this.#size)) this.#put('\n');
    this.#line({
      event: 'tampered',
      what: nlink === 0 ? 'the file was removed' : 'the file was changed by somebody else',
    });
  }

  /** Takes up the chain of an earlier agent. */
  #goOn(): void {
    const head = readHead(this.#head);
    const last = lastLine(this.#fd, this.#size);
    if (head !== undefined) {
      this.#seq = head.seq;
      this.#prev = head.hash;
    }
    if (last === undefined) return;
    const line = parseLine(last.bytes);
    this.#endsTorn = last.isTorn;
    // The agent may have died between a line and the note of it. What else is there was put by somebody else, and the
    // chain goes on from what was written, so that it is found.
    const isNext = line?.prev === this.#prev && line.seq === this.#seq + 1 && !last.isTorn;
    if (line !== undefined && (head === undefined || isNext)) this.#seq = line.seq;
    if (head === undefined || isNext || last.isTorn) this.#prev = hashLine(last.bytes);
  }
}

function openRecord(path: string): number {
  const { O_APPEND, O_CREAT, O_RDWR, O_NOFOLLOW } = constants;
  return openSync(path, O_APPEND | O_CREAT | O_RDWR | O_NOFOLLOW, 0o640);
}

/** Whether what is written next begins a line. */
function endsWithLine(fd: number, size: number): boolean {
  const byte = Buffer.alloc(1);
  return size === 0 || (readSync(fd, byte, 0, 1, size - 1) === 1 && byte[0] === 0x0a);
}

function readHead(fd: number): { readonly seq: number; readonly hash: string } | undefined {
  const bytes = Buffer.alloc(82);
  readSync(fd, bytes, 0, bytes.length, 0);
  const match = /^(\d{16}) ([0-9a-f]{64})\n$/.exec(bytes.toString('latin1'));
  return match === null ? undefined : { seq: Number(match[1]), hash: match[2] ?? '' };
}

function lastLine(fd: number, size: number): { readonly bytes: Uint8Array; readonly isTorn: boolean } | undefined {
  if (size === 0) return undefined;
  const length = Math.min(size, TAIL_BYTES);
  const bytes = Buffer.alloc(length);
  readSync(fd, bytes, 0, length, size - length);
  const isTorn = bytes.at(-1) !== 0x0a;
  const whole = isTorn ? bytes : bytes.subarray(0, -1);
  return { bytes: whole.subarray(whole.lastIndexOf(0x0a) + 1), isTorn };
}
