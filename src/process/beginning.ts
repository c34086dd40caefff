import { closeSync, fchmodSync, readSync, writeSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import { openMemoryFile, openSocketPair } from '../linux/descriptors.ts';
import { REPORTING } from './launchers.ts';
import type { Descriptors } from './start.ts';

/** Why a sandbox cannot be made. The message continues a sentence: `the directory /srv/app does not exist`. */
export class SandboxFault extends Error {}

/**
 * Reports that an isolated command has begun. Other commands of its user must not be able to undo that report: the call
 * would be answered as not run, and could be sent again. So the report uses a socket whose other end only the agent
 * has. A false report of a beginning is harmless.
 */
export class Status {
  constructor(
    /** The agent's end. */
    private readonly reading: number,
    /** The end for the programs before the command. */
    readonly writing: number,
    /** A file in memory for --info-fd of bwrap(1). Other commands of the user cannot write to it. */
    readonly information: number | undefined,
  ) {}

  /** The descriptors that the agent keeps until `close`. */
  get kept(): readonly number[] {
    return this.information === undefined ? [this.reading] : [this.reading, this.information];
  }

  /** Whether the command, which has ended, had begun. */
  hasBegun(): boolean {
    return hasBegun(this.reading);
  }

  /** The first process of the command's sandbox; undefined if bwrap has not reported one. */
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

/** Several times what bwrap writes. */
const MAX_INFORMATION = 2048;

/** Opens what a command reports its beginning with, which belongs to `descriptors`. Throws `SandboxFault`. */
export function openStatus(descriptors: Descriptors, isSandbox: boolean): Status {
  const pair = openSocketPair();
  if (pair === undefined) throw new SandboxFault('the kernel grants no sockets (socketpair)');
  const [reading, writing] = [descriptors.add(pair.reading), descriptors.add(pair.writing)];
  const isRoots = isSandbox && process.geteuid?.() === 0;
  return new Status(reading, writing, isRoots ? descriptors.add(openMemory()) : undefined);
}

/**
 * Opens a file in memory that contains `bytes` and that no other user can open. The caller closes it. Throws
 * `SandboxFault`.
 */
export function openMemory(bytes: Uint8Array = new Uint8Array()): number {
  const fd = openMemoryFile();
  if (fd === undefined) throw new SandboxFault('the kernel grants no file in memory (memfd_create)');
  fchmodSync(fd, 0o600);
  // With a position: the reader starts at the offset of the descriptor.
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
  return fd;
}

/** Whether a command that has ended had begun: its socket received something. In doubt, true. */
export function hasBegun(reading: number): boolean {
  try {
    return readSync(reading, Buffer.alloc(1), 0, 1, null) > 0;
  } catch (error) {
    return errnoOf(error) !== 'EAGAIN';
  }
}

/** What a command writes to its standard error if it cannot report its beginning. No agent is there to answer. */
export const AGENT_GONE = 'agent3: nothing was run: the agent ended before the command began';

/**
 * Lines of a shell that report the beginning on a descriptor and close it. If that fails because the agent has ended,
 * nothing is run; a signal (SIGPIPE) does not hide the failure. `times` always writes something. Both it and `trap` are
 * special built-ins, which no function from the environment replaces.
 */
export const markBeginning = (fd: number): string =>
  `trap '' PIPE; ${REPORTING}${fd} 2> /dev/null || { echo '${AGENT_GONE}' >&2; exit 126; }; trap - PIPE; exec ${fd}>&-`;

/** A line of a shell that sets a variable for the programs it starts. */
export const exportLine = ([name, value]: readonly [name: string, value: string]): string =>
  `export ${name}='${value.replaceAll("'", "'\\''")}'`;
