import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { Clock } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { putAside } from '../lib/files.ts';
import type { Logger } from '../lib/logger.ts';
import { DYING_AGENT_MS, lockHolder, lockWithin } from '../linux/lock.ts';
import { AuditFault, GENESIS, hashLine, headPath, headText, parseHead, readNote, Seal } from './chain.ts';
import { finishRotation, KEPT_FILES, openRecord } from './files.ts';
import { takeUp } from './power-loss.ts';
import { partFilled, RECORD_FILE_BYTES, RecordRoom, SyncedRecord, tokenOf } from './record-file.ts';
import { endsWithLine, fileNote, isFileNote, LastFile, OlderFiles, tampered, timeOfEnd } from './resume.ts';

/** Lines of ends that a full disk kept out; they are written when it has room again. */
const MAX_OWED = 10_000;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The record: a line of JSON each, with the hash of the line before, and sealed with a key if there is one. A line is
 * one write(2) with O_APPEND, and the kernel has it when `write` returns: it survives the death of the agent. It
 * survives a crash of the machine after `synced`, which is called every second in any case.
 */
export class AuditLog {
  #fd: number;
  #head: number;
  #seq = 0;
  #prev = GENESIS;
  #files = 1;
  /** The size that the file must have, in bytes. */
  #size: number;
  #isTorn = false;
  #needsBreak = false;
  /** Lines that come before any other. */
  #notes: Fields[] = [];
  readonly #owed: OwedLine[] = [];
  #lost = 0;
  #hasWarned = false;
  readonly #seal: Seal;
  readonly #disk: SyncedRecord;
  readonly #room: RecordRoom;
  /** Time of the last line of an earlier agent, in milliseconds since the epoch. Undefined without one. */
  readonly endOfEarlier: number | undefined;
  /** Only logrotate can rotate the file: it is append-only, or its directory is not the agent's. */
  #isFixed = false;

  /** Opens the record and continues at its end. Throws `AuditFault`. */
  constructor(
    private readonly path: string,
    key: string | undefined,
    private readonly clock: Clock,
    private readonly logger: Logger,
    private readonly boot: string,
    fileBytes = RECORD_FILE_BYTES,
  ) {
    this.#room = new RecordRoom(fileBytes);
    this.#seal = new Seal(key);
    try {
      this.#fd = openRecord(path);
      this.#head = openSync(headPath(path), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o640);
    } catch (error) {
      throw new AuditFault(`the audit record ${path} cannot be opened: ${describeErrno(error)}`);
    }
    if (!lockWithin(this.#head, DYING_AGENT_MS))
      throw new AuditFault(`another agent writes the audit record ${path}: ${lockHolder(this.#head)} holds its lock`);
    finishRotation(path);
    this.#size = fstatSync(this.#fd).size;
    this.endOfEarlier = timeOfEnd(new LastFile(this.#fd, this.#size), new OlderFiles(path));
    this.#disk = new SyncedRecord(path, this.#seal, boot, logger, () => ({
      fd: this.#fd,
      head: this.#head,
      seq: this.#seq,
    }));
    this.#goOn();
  }

  /** Resolves when every line so far is on the disk. Rejects with `AuditFault`. */
  synced(): Promise<void> {
    return this.#disk.synced();
  }

  /** Ends the record in order: everything is on the disk, and nothing follows. */
  close(): void {
    this.#disk.close();
  }

  /**
   * Adds a line. Throws `AuditFault` if it cannot be written, and `TooManyRequests` if its token has filled its part of
   * the file: the action must not happen then.
   */
  write(fields: Fields): void {
    this.#payOwed();
    if (this.#isHeld(fields)) throw partFilled();
    this.#append(fields);
  }

  /**
   * Adds a line about what has already happened: if it cannot be written now, it is written later. A line that `mayGo`
   * is left out when its token has filled its part of the file.
   */
  writeLater(fields: () => Fields, mayGo = false): void {
    this.#owed.push({ fields, mayGo });
    try {
      this.#payOwed();
    } catch {
      if (this.#owed.length <= MAX_OWED) return;
      this.#owed.shift();
      this.#lost++;
    }
  }

  /** Opens the current file after logrotate has rotated the old one. The chain continues. */
  reopen(): void {
    if (!this.#open()) return;
    this.#files++;
    this.#notes.push(fileNote(this.#files));
    // Whatever is there before the agent writes comes from somebody else.
    if (this.#size > 0) this.#suspect('the new file was written to by somebody else');
  }

  #open(): boolean {
    const fd = openRecord(this.path);
    const { ino, dev, size } = fstatSync(fd);
    const old = fstatSync(this.#fd);
    if (old.ino === ino && old.dev === dev) {
      closeSync(fd);
      return false;
    }
    this.#disk.leave(this.#fd);
    this.#fd = fd;
    this.#size = size;
    this.#needsBreak = this.#isFixed = false;
    this.#room.clear();
    return true;
  }

  #payOwed(): void {
    this.#putAsideWhenDue();
    if (this.#lost > 0) {
      this.#append({ event: 'agent', what: 'lines were lost while the disk was full', lines: this.#lost });
      this.#lost = 0;
    }
    for (let first = this.#owed[0]; first !== undefined; first = this.#owed[0]) {
      const fields = first.fields();
      if (!(first.mayGo && this.#isHeld(fields))) this.#append(fields);
      this.#owed.shift();
    }
  }

  /** Whether the token of a line has filled its part of the file; the first time, a line reports that. */
  #isHeld(fields: Fields): boolean {
    const token = tokenOf(fields);
    if (!this.#room.isHeld(token, this.#size)) return false;
    if (this.#room.hold(token)) this.#append({ event: 'agent', what: 'held back', held: token });
    return true;
  }

  /** Rotates a file that is large enough, if not only logrotate can. */
  #putAsideWhenDue(): void {
    if (this.#isFixed || !this.#room.isDue(this.#size)) return;
    try {
      putAside(this.path, KEPT_FILES);
    } catch {
      this.#isFixed = true;
      return;
    }
    this.reopen();
  }

  #append(fields: Fields): void {
    this.#look();
    if (this.#needsBreak) {
      // The rest of a line that was not written whole stays as evidence, and the chain continues after it.
      this.#put(Buffer.from('\n'));
      this.#needsBreak = false;
    }
    if (this.#isTorn) {
      const [note] = this.#notes;
      // A new file begins with its number, also then.
      if (isFileNote(note)) this.#notes[0] = { ...note, torn: true };
      else this.#line({ event: 'recovered', what: 'the line before was not written whole' });
      this.#isTorn = false;
    }
    for (let note = this.#notes[0]; note !== undefined; note = this.#notes[0]) {
      this.#line(note);
      this.#notes.shift();
    }
    // From here on, what was left by another boot is reported.
    this.#disk.begin();
    this.#line(fields);
  }

  #line(fields: Fields): void {
    const { event, ...more } = fields;
    const seq = this.#seq + 1;
    const time = new Date(this.clock.now()).toISOString();
    const line = this.#seal.line(JSON.stringify({ seq, time, event, ...more, prev: this.#prev }));
    const bytes = Buffer.from(`${line}\n`);
    if (this.#room.isFull(this.#size, bytes.length)) this.#fail('it is full until it is rotated', undefined);
    this.#put(bytes);
    this.#room.add(tokenOf(fields), bytes.length);
    this.#seq = seq;
    this.#prev = hashLine(line);
    writeSync(this.#head, headText(this.#seal, seq, this.#prev, this.#files), 0);
    this.#hasWarned = false;
    this.#disk.soon();
  }

  #put(bytes: Uint8Array): void {
    let written = 0;
    try {
      written = writeSync(this.#fd, bytes);
    } catch (error) {
      this.#fail(describeErrno(error), error);
    }
    this.#size += written;
    if (written === bytes.length) return;
    if (written > 0) {
      this.#isTorn = this.#needsBreak = true;
      this.#prev = hashLine(bytes.subarray(0, written));
    }
    this.#fail('the disk is full (ENOSPC)', undefined);
  }

  /** Reported once until it works again. */
  #fail(fault: string, cause: unknown): never {
    if (!this.#hasWarned) this.logger.warn({ path: this.path, fault }, 'the audit record cannot be written');
    this.#hasWarned = true;
    throw new AuditFault(`${this.path}: ${fault}`, { cause });
  }

  /** Somebody else may have written, cut or replaced the file: the next line says so. */
  #look(): void {
    const { size, nlink } = fstatSync(this.#fd);
    // A rotated file is written to until logrotate notifies the agent, a moment later.
    if (size === this.#size && nlink > 0) return;
    this.#size = size;
    if (nlink === 0) this.#openAnew();
    this.#suspect(nlink === 0 ? 'the file was removed' : 'the file was changed by somebody else');
  }

  #openAnew(): void {
    try {
      this.#open();
    } catch (error) {
      this.#fail(errnoOf(error) === 'ENOENT' ? 'its directory is missing (ENOENT)' : describeErrno(error), error);
    }
  }

  #suspect(what: string): void {
    this.logger.warn({ path: this.path, what }, 'the audit record was changed by somebody else');
    this.#isTorn = false;
    this.#needsBreak = !endsWithLine(this.#fd, this.#size);
    this.#notes.push(tampered(what));
  }

  /** Continues the chain of an earlier agent. */
  #goOn(): void {
    const head = parseHead(this.#seal, readNote(this.#head));
    const left = { fd: this.#fd, size: this.#size, path: this.path };
    const { seq, prev, files, isTorn, needsBreak, notes } = takeUp(this.#seal, head, this.#disk.mark, this.boot, left);
    if (head === 'damaged') ftruncateSync(this.#head, 0);
    this.#seq = seq;
    this.#prev = prev;
    this.#files = files;
    this.#isTorn = isTorn;
    this.#needsBreak = needsBreak;
    this.#notes = [...notes];
    for (const { event, what } of notes)
      if (event === 'tampered')
        this.logger.warn({ path: this.path, what }, 'the audit record was changed by somebody else');
      else if (event === 'recovered') this.logger.warn({ path: this.path, what }, 'the audit record continues');
    if (head !== 'empty' || seq !== 0) return;
    // From here on, an empty note was emptied by somebody.
    writeSync(this.#head, headText(this.#seal, seq, prev, files), 0);
    this.#disk.found();
  }
}

interface OwedLine {
  readonly fields: () => Fields;
  readonly mayGo: boolean;
}
