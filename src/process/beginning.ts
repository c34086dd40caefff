import { closeSync, fchmodSync, readSync, writeSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import { openMemoryFile, openSocketPair } from '../linux/libc.ts';
import { TELLING } from './launchers.ts';
import type { Descriptors } from './start.ts';

/** Why a sandbox cannot be made. Its message goes on a sentence: `the directory /srv/app does not exist`. */
export class SandboxFault extends Error {}

/**
 * How an isolated command tells the agent that it has begun. Other commands of its user must not be able to take that
 * back: it would be answered as not run, and could be sent again. So it goes through a socket whose other end the agent
 * alone has. A false word of a beginning is harmless.
 */
export class Status {
  constructor(
    /** The agent's end. */
    private readonly reading: number,
    /** The end for the programs before the command. */
    readonly writing: number,
    /** A file in memory for --info-fd of bwrap(1), where other commands of its user cannot write to that. */
    readonly information: number | undefined,
  ) {}

  /** What the agent keeps, until `close`. */
  get kept(): readonly number[] {
    return this.information === undefined ? [this.reading] : [this.reading, this.information];
  }

  /** Whether the command, which is over, has begun. */
  hasBegun(): boolean {
    return hasBegun(this.reading);
  }

  /** The first process of the command's sandbox; undefined where bwrap has told of none. */
  init(): number | undefined {
    if (this.information === undefined) return undefined;
    const bytes = Buffer.alloc(MAX_INFORMATION);
    const text = bytes.toString('latin1', 0, readSync(this.information, bytes, 0, bytes.length, 0));
    const pid = /"child-pid": (\d+)/.exec(text)?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  close(): void {
    for (const fd of this.kept) closeSync(fd);
  }
}

/** Several times what bwrap tells. */
const MAX_INFORMATION = 2048;

/** A way to tell that a command has begun, which belongs to `descriptors`. Throws `SandboxFault` where there is none. */
export function openStatus(descriptors: Descriptors, isSandbox: boolean): Status {
  const pair = openSocketPair();
  if (pair === undefined) throw new SandboxFault('the kernel grants no sockets (socketpair)');
  const [reading, writing] = [descriptors.add(pair.reading), descriptors.add(pair.writing)];
  const isRoots = isSandbox && process.geteuid?.() === 0;
  return new Status(reading, writing, isRoots ? descriptors.add(openMemory()) : undefined);
}

/** A file in memory that no other user can open, and the caller closes; `bytes` are read from it. Throws `SandboxFault`. */
export function openMemory(bytes: Uint8Array = new Uint8Array()): number {
  const fd = openMemoryFile();
  if (fd === undefined) throw new SandboxFault('the kernel grants no file in memory (memfd_create)');
  fchmodSync(fd, 0o600);
  // At a position: its reader begins where the descriptor stands.
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
  return fd;
}

/** Whether a command that is over has begun: something came through its socket. When in doubt, it has. */
export function hasBegun(reading: number): boolean {
  try {
    return readSync(reading, Buffer.alloc(1), 0, 1, null) > 0;
  } catch (error) {
    return errnoOf(error) !== 'EAGAIN';
  }
}

/** What a command says on its standard error that could not tell the beginning: nobody else is there to answer so. */
export const AGENT_GONE = 'agent3: nothing was run: the agent ended before the command began';

/**
 * Lines of a shell that tell the beginning at a descriptor, and close it; where that fails, because the agent is gone,
 * nothing is run, and a signal (SIGPIPE) does not hide that. `times` writes something always; it and `trap` are special
 * built-ins: no function from the environment takes their place.
 */
export const markBeginning = (fd: number): string =>
  `trap '' PIPE; ${TELLING}${fd} 2> /dev/null || { echo '${AGENT_GONE}' >&2; exit 126; }; trap - PIPE; exec ${fd}>&-`;

/** A line of a shell that sets a variable for the programs that it starts. */
export const exportLine = ([name, value]: readonly [name: string, value: string]): string =>
  `export ${name}='${value.replaceAll("'", "'\\''")}'`;
