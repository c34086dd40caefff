import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { posix } from 'node:path';
import { type Helper, type Script, shellScript } from '../commands/helper.ts';
import type { Deadline } from '../lib/clock.ts';
import { MachineRefused } from '../lib/errors.ts';
import { MAX_FILE_BYTES } from '../lib/limits.ts';
import PERL_SCRIPT from './place.pl' with { type: 'text' };
import SHELL_SCRIPT from './place.sh' with { type: 'text' };
import {
  changedMeanwhile,
  type FileBytes,
  type FilePlace,
  type FileStat,
  kindOf,
  type NewFile,
  notAllowed,
  type ParsedPath,
  type Range,
  rangeIn,
} from './place.ts';

/** Starts a script in the isolation of a profile. */
export type StartScript = (script: Script, args: readonly string[]) => Helper;

/** Exit codes of the script. */
const UNREACHED = 11;
const UNREADABLE = 12;
const CHANGED = 13;
const OWNER_REFUSED = 15;
const CUT = 16;

/** The fields that the script writes before the content: each ends with a NUL. */
const FIELDS = 4;

/** The path of perl(1) in Debian and others. One process does what sh(1) starts six others for. */
export const PERL = '/usr/bin/perl';

/** The numbers of statx(2) and fsync(2), and O_NOFOLLOW. Source: the tables of system calls of Linux. */
const SYSTEM_CALLS: Readonly<Partial<Record<NodeJS.Architecture, readonly number[]>>> = {
  x64: [332, 74, constants.O_NOFOLLOW],
  arm64: [291, 82, constants.O_NOFOLLOW],
};

/**
 * Opens the place of a path as a command of the profile sees it: a script in the same isolation is in its directory,
 * and waits there. `range` is what is read of a file that is too large to be read whole; undefined: nothing is read.
 */
export async function openIsolated(
  start: StartScript,
  { directory, name }: ParsedPath,
  range: Range | undefined,
  deadline: Deadline,
  hasPerl: boolean,
): Promise<FilePlace> {
  const calls = hasPerl ? SYSTEM_CALLS[process.arch] : undefined;
  const script = calls === undefined ? shellScript(SHELL_SCRIPT) : [PERL, '-f', '-e', PERL_SCRIPT, '--'];
  const numbers = [MAX_FILE_BYTES, range?.offset ?? 0, range?.bytes ?? '', ...(calls ?? [])].map(String);
  const helper = start(script, [directory, name, ...numbers]);
  const place = new IsolatedPlace(helper, { directory, name }, range, deadline);
  try {
    await place.enter();
    return place;
  } catch (error) {
    await place[Symbol.asyncDispose]();
    throw error;
  }
}

class IsolatedPlace implements FilePlace {
  path: string;
  missing: string | undefined;
  stat: FileStat | undefined;
  target: string | undefined;
  readonly #timer: ReturnType<typeof setTimeout>;
  #isLate = false;
  #hasRead = false;

  constructor(
    private readonly helper: Helper,
    private readonly asked: ParsedPath,
    private readonly range: Range | undefined,
    deadline: Deadline,
  ) {
    this.path = posix.join(asked.directory, asked.name);
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      helper.kill();
    }, deadline.leftMs);
  }

  async enter(): Promise<void> {
    const fields: string[] = [];
    while (fields.length < FIELDS) {
      const field = await this.helper.answer();
      if (field === undefined) throw await this.#failure('reached');
      fields.push(field);
    }
    const [real = '', missing = '', seen = '', target = ''] = fields;
    this.path = posix.join(real, missing, this.asked.name);
    this.missing = missing === '' ? undefined : missing;
    this.stat = seen === '' ? undefined : statOf(seen);
    this.target = this.stat?.kind === 'link' ? target : undefined;
  }

  async read(): Promise<FileBytes> {
    const { stat, range } = this;
    if (stat?.kind !== 'file' || range === undefined) throw notAllowed('read', this.path, 'it is not a file');
    const { helper } = this;
    this.#hasRead = true;
    const length = await this.#readLength();
    while (helper.received < length) if (!(await helper.receive())) throw await this.#failure('read');
    const bytes = helper.take();
    if (stat.size <= MAX_FILE_BYTES && length <= MAX_FILE_BYTES)
      return { bytes, start: 0, size: length, isWhole: true };
    const from = stat.size <= MAX_FILE_BYTES ? 0 : rangeIn(range, stat.size).offset;
    return { bytes: bytes.subarray(0, range.bytes), start: from, size: stat.size, isWhole: false };
  }

  async replace({ bytes, mode, owner }: NewFile): Promise<void> {
    // A file is made with its mode if the umask can express it, so that no program has to.
    const bits = mode === undefined ? undefined : mode & 0o777;
    const isReadable = bits === undefined || (bits & 0o400) !== 0;
    const needsMode = mode !== undefined && ((mode & ~0o666) !== 0 || !isReadable);
    // The script reads it again before it replaces the file.
    const mask = bits === undefined ? '-' : octal(isReadable ? ~bits & 0o777 : 0o077);
    const words = [
      ...['replace', bytes.length],
      ...[mask, needsMode ? octal(mode) : '-'],
      ...[owner?.user ?? '-', owner?.group ?? '-', `.agent3-${randomBytes(9).toString('hex')}`],
      Bun.SHA256.hash(bytes, 'hex'),
    ];
    await this.#change('written', `${words.join(' ')}\n`, bytes);
  }

  async remove(directories = 0): Promise<void> {
    await this.#change('removed', `remove ${directories} - - - - - -\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await this.helper[Symbol.asyncDispose]();
  }

  async #change(what: string, ...pieces: readonly (string | Uint8Array)[]): Promise<void> {
    // The content of the file comes before its answer.
    if (!this.#hasRead && this.stat?.kind === 'file' && this.range !== undefined) await this.read();
    // If it reads no more, its exit code says why.
    await this.helper.send(...pieces).catch(() => {});
    if ((await this.helper.answer()) !== 'ok') throw await this.#failure(what);
  }

  /** Returns how many bytes dd(1) has written, which it reports at its end. */
  async #readLength(): Promise<number> {
    const { helper } = this;
    for (;;) {
      const said = /^(\d+) bytes? .*copied/m.exec(helper.said)?.[1];
      if (said !== undefined) return Number(said);
      // Its script must not read more than that.
      if (helper.received > MAX_FILE_BYTES + 1) helper.kill();
      // Its output has to be read meanwhile: a pipe holds little.
      const goesOn = !helper.isSilent && (await Promise.race([helper.receive(), helper.saysMore()]));
      if (!goesOn) throw await this.#failure('read');
    }
  }

  /** Returns why the script has ended. */
  async #failure(what: string): Promise<unknown> {
    const code = await this.helper.ended();
    const said = this.helper.said.trim();
    const why = reasonIn(said);
    const { path } = this;
    if (this.#isLate)
      return new MachineRefused(`${JSON.stringify(path)} could not be ${what} in time. Nothing was done.`, undefined);
    switch (code) {
      case UNREACHED:
        return notAllowed('reached', path, why);
      case UNREADABLE:
        return notAllowed('read', path, why);
      case CHANGED:
        return changedMeanwhile(path);
      case OWNER_REFUSED:
        return notAllowed(what, path, 'it belongs to another user or group, which it would lose');
      case CUT:
        return new MachineRefused(`${JSON.stringify(path)} was not ${what}. It is as it was before.`, said);
      case SIZE_EXCEEDED:
        return notAllowed(what, path, 'it would be larger than the profile of this token allows');
      default:
        if (/No space left|quota|Input\/output/i.test(said))
          return new MachineRefused(`${JSON.stringify(path)} was not ${what}: ${why}. It is as it was before.`, said);
        return notAllowed(what, path, why);
    }
  }
}

/** The exit code that sh(1) reports for dd(1) when a file grows over its limit: 128 and SIGXFSZ. */
const SIZE_EXCEEDED = 128 + 25;

/** Returns the reason of the system in the message of a program: the text after its last colon. */
function reasonIn(said: string): string {
  const line = said.split('\n').findLast((one) => !/^\d+(?:\+\d+ records| bytes)/.test(one)) ?? '';
  const reason = /: ([^:]+)$/.exec(line)?.[1] ?? line;
  return reason === '' ? 'the system refused it' : reason.slice(0, 200).toLowerCase();
}

const octal = (bits: number): string => bits.toString(8).padStart(4, '0');

/** Parses a line of stat(1): the mode in hexadecimal, size, owner, group, names, device, inode, and two times. */
function statOf(line: string): FileStat {
  const [mode = '', size, user, group, links, ...rest] = line.split(' ');
  const bits = Number.parseInt(mode, 16);
  return {
    kind: kindOf(bits),
    size: Number(size),
    mode: bits & 0o7777,
    user: Number(user),
    group: Number(group),
    links: Number(links),
    version: [size, ...rest].join(' '),
  };
}
