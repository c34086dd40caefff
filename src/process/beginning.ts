import { closeSync, readSync } from 'node:fs';
import { errnoOf } from '../lib/errors.ts';
import { openSocketPair } from '../linux/libc.ts';
import type { Descriptors } from './start.ts';

/** Why a sandbox cannot be made. Its message goes on a sentence: `the directory /srv/app does not exist`. */
export class SandboxFault extends Error {}

/**
 * How a confined command tells the agent that it has begun. Other commands of its user must not be able to take that
 * back: it would be answered as not run, and could be sent again. So it goes through a socket whose other end the agent
 * alone has. A false word of a beginning is harmless. Before it, bwrap(1) names the first process of the sandbox there.
 */
export class Status {
  #said: string | undefined;

  constructor(
    /** The agent's end. */
    readonly reading: number,
    /** The end for the programs before the command. */
    readonly writing: number,
  ) {}

  /** Whether the command, which is over, has begun: something came that is not of bwrap. When in doubt, it has. */
  hasBegun(): boolean {
    return this.#read().replace(INFORMATION, '') !== '';
  }

  /** The first process of the command's sandbox; undefined where bwrap has not made one. For a command that is over. */
  init(): number | undefined {
    const pid = /"child-pid": (\d+)/.exec(INFORMATION.exec(this.#read())?.[0] ?? '')?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  /** Closes the agent's end. */
  close(): void {
    closeSync(this.reading);
  }

  #read(): string {
    this.#said ??= said(this.reading);
    return this.#said;
  }
}

/** What --info-fd of bwrap writes, also when it was cut off. */
const INFORMATION = /^\{[^}]*\}?\n?/;
/** More than it is, with what `markBeginning` writes. */
const MAX_BYTES = 4096;

function said(reading: number): string {
  const bytes = Buffer.alloc(MAX_BYTES);
  try {
    return bytes.toString('latin1', 0, readSync(reading, bytes, 0, bytes.length, null));
  } catch (error) {
    return errnoOf(error) === 'EAGAIN' ? '' : 'nobody knows';
  }
}

/** A way to tell that a command has begun, which belongs to `descriptors`. Throws `SandboxFault` where there is none. */
export function openStatus(descriptors: Descriptors): Status {
  const pair = openSocketPair();
  if (pair === undefined) throw new SandboxFault('the kernel grants no sockets (socketpair)');
  return new Status(descriptors.add(pair.reading), descriptors.add(pair.writing));
}

/** What a command says on its standard error that could not tell the beginning: nobody else is there to answer so. */
export const AGENT_GONE = 'agent3: nothing was run: the agent ended before the command began';

/**
 * Lines of a shell that tell the beginning at a descriptor, and close it; where that fails, because the agent is gone,
 * nothing is run, and a signal (SIGPIPE) does not hide that. `times` writes something always; it and `trap` are special
 * built-ins: no function from the environment takes their place.
 */
export const markBeginning = (fd: number): string =>
  `trap '' PIPE; times >&${fd} 2> /dev/null || { echo '${AGENT_GONE}' >&2; exit 126; }; trap - PIPE; exec ${fd}>&-`;

/** A line of a shell that sets a variable for the programs that it starts. */
export const exportLine = ([name, value]: readonly [name: string, value: string]): string =>
  `export ${name}='${value.replaceAll("'", "'\\''")}'`;
