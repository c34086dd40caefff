import { BackgroundOff } from '../lib/errors.ts';
import type { AgentClient } from './agent-client.ts';
import { NotAgent3, Refused } from './faults.ts';
import { mayPassOnceReached, type Patience, persist } from './patience.ts';

/** The largest reply window that an agent can have, and some more: a call in the foreground is answered within it. */
const FOREGROUND_SECONDS = 210;

/** What a command is started with: arguments of `shell`. */
export interface Order {
  readonly cmd: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeout?: number;
  readonly stdin?: string;
  readonly interactive?: boolean;
  readonly pty?: boolean;
  readonly rows?: number;
  readonly cols?: number;
  /** Makes a repeat safe. */
  readonly key: string;
}

/** A command that was started. */
export interface Started {
  readonly session: string;
  /** The key was used before: this is the session of an earlier command, and nothing was run. */
  readonly isEarlier: boolean;
  /** Why a person has to approve it first; undefined: it runs. */
  readonly waitsFor: string | undefined;
}

interface ShellAnswer {
  readonly session?: unknown;
  readonly status?: unknown;
  readonly repeat?: unknown;
  readonly reason?: unknown;
}

/**
 * Starts a command in the background, or where the agent forbids that, in the foreground. A call whose answer was lost is
 * repeated: its key keeps it from running twice. Throws a `ClientFault`.
 */
export async function startCommand(client: AgentClient, order: Order, patience: Patience): Promise<Started> {
  try {
    return await startAs(client, { ...order, background: true, max_output: 256 }, undefined, patience);
  } catch (fault) {
    if (!(fault instanceof Refused) || fault.code !== BackgroundOff.code) throw fault;
    return startAs(client, { ...order, max_output: 256 }, FOREGROUND_SECONDS, patience);
  }
}

async function startAs(
  client: AgentClient,
  args: object,
  seconds: number | undefined,
  patience: Patience,
): Promise<Started> {
  let attempts = 0;
  const { session, status, reason, repeat } = await persist(
    () => {
      attempts++;
      return client.call<ShellAnswer>('shell', args, seconds === undefined ? {} : { seconds });
    },
    mayPassOnceReached(),
    patience,
  );
  if (typeof session !== 'string') throw new NotAgent3(`${client.url} is no Agent3: its answer has no session.`, 200);
  return {
    session,
    isEarlier: repeat === true && attempts === 1,
    waitsFor: status === 'waiting' ? String(reason ?? 'its rules want that') : undefined,
  };
}
