import { readSync } from 'node:fs';
import { linesOf } from './chain.ts';
import { readRecordFile, rotatedFiles } from './files.ts';
import type { LastFile } from './power-loss.ts';
import type { OlderFiles, Tail } from './resume.ts';
import { Seal } from './seal.ts';

/** First piece at the end of a file that is looked at for its last lines; each next one is eight times as long. */
const TAIL_BYTES = 65_536;

/** The last lines of a file. */
export function tailOf(file: LastFile): Tail {
  for (let length = TAIL_BYTES; ; length *= 8) {
    const bytes = file.end(length);
    const tail = lastLines(bytes);
    // The first line of a piece may begin before it.
    if (bytes.length === file.size || tail.count > 2) return { lines: tail.lines, isTorn: tail.isTorn };
  }
}

function lastLines(bytes: Uint8Array): Tail & { readonly count: number } {
  const lines = [...linesOf(bytes)];
  return {
    lines: lines.slice(-2).map((line) => line.bytes),
    isTorn: lines.at(-1)?.isTorn ?? false,
    count: lines.length,
  };
}

/** The end of an open file of `size` bytes. */
export function lastFile(fd: number, size: number): LastFile {
  return {
    size,
    end: (length) => {
      const bytes = Buffer.alloc(Math.min(size, length));
      readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes;
    },
  };
}

/** Whether what is written next begins a line. */
export function endsWithLine(fd: number, size: number): boolean {
  const byte = Buffer.alloc(1);
  return size === 0 || (readSync(fd, byte, 0, 1, size - 1) === 1 && byte[0] === 0x0a);
}

/** What logrotate has put aside, as far as the agent may read it; looked at only where that is needed. */
export class LeftFiles implements OlderFiles {
  readonly count: number;
  readonly #rotated: readonly string[];

  constructor(private readonly path: string) {
    this.#rotated = listed(path);
    this.count = this.#rotated.length;
  }

  newest(): Uint8Array | 'unreadable' | undefined {
    for (const path of this.#rotated.toReversed()) {
      const bytes = read(path, (all) => all);
      if (bytes.length > 0) return bytes;
    }
    return undefined;
  }

  tail(): Tail | 'unreadable' | undefined {
    const newest = this.newest();
    return typeof newest === 'object' ? lastLines(newest) : newest;
  }

  hasSeals(): boolean {
    const newest = this.newest();
    return (typeof newest === 'object' && isSealed(newest)) || read(this.path, isSealed) === true;
  }
}

/** Whether the record in `path` has lines with a MAC, in its newest files. Throws no error: what cannot be read has none. */
export function hasSealedLines(path: string): boolean {
  return new LeftFiles(path).hasSeals();
}

function isSealed(bytes: Uint8Array): boolean {
  const seal = new Seal(undefined);
  for (const line of linesOf(bytes)) if (seal.check(line.bytes) !== 'none') return true;
  return false;
}

function listed(path: string): readonly string[] {
  try {
    return rotatedFiles(path);
  } catch {
    // A directory that the agent may not list; `audit verify` does.
    return [];
  }
}

function read<T>(path: string, part: (bytes: Uint8Array) => T): T | 'unreadable' {
  try {
    return part(readRecordFile(path));
  } catch {
    // It is root's alone; `audit verify` looks at it.
    return 'unreadable';
  }
}
