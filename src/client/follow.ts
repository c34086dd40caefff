import type { EventSourceMessage } from 'eventsource-parser';
import type { AgentClient } from './agent-client.ts';
import { ClientFault, ConnectionBroken, NotAgent3, Refused } from './faults.ts';
import { mayPass, Patience } from './patience.ts';

/** How a command has ended. */
export interface EndState {
  readonly session: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly duration_ms: number;
  readonly message?: string;
  /** What it waited for when it was stopped at its time limit. */
  readonly waited_for?: string;
}

/** What becomes of the output of a session that is followed. */
export interface Follower {
  /** Takes a piece; the next one is read when this has resolved. */
  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void>;
  /** The connection broke; it will be tried again. */
  broken(): void;
}

interface Output {
  readonly stream: 'stdout' | 'stderr';
  readonly base64: string;
}

interface Refusal {
  readonly status: number;
  readonly error: string;
  readonly message?: string;
}

/**
 * Follows a session from its beginning to the end of its command. A connection that breaks is taken up again where it
 * was, for up to a minute: no byte is lost or doubled. Throws a `ClientFault`.
 */
export async function followSession(client: AgentClient, session: string, follower: Follower): Promise<EndState> {
  const patience = new Patience();
  const offsets = { stdout: 0, stderr: 0 };
  for (;;) {
    try {
      for await (const event of client.events(session, offsets.stdout, offsets.stderr)) {
        patience.renew();
        if (event.event === 'end') return fieldsOf<EndState>(client, event);
        if (event.event === 'refused') throw refusalOf(client, event);
        if (event.event !== 'output') continue;
        const { stream, base64 } = fieldsOf<Output>(client, event);
        const bytes = Buffer.from(base64, 'base64');
        await follower.write(stream, bytes);
        offsets[stream] += bytes.length;
      }
      throw new ConnectionBroken(`the connection to ${client.url} was closed`);
    } catch (error) {
      if (!(error instanceof ClientFault) || !mayPass(error)) throw error;
      follower.broken();
      await patience.pause(error);
    }
  }
}

/** The token ended, or was taken away, while the session was followed. */
function refusalOf(client: AgentClient, event: EventSourceMessage): Refused {
  const { status, error, message = '' } = fieldsOf<Refusal>(client, event);
  return new Refused(`${error}: ${message}`, status, undefined, undefined);
}

function fieldsOf<T>(client: AgentClient, { data }: EventSourceMessage): T {
  try {
    return JSON.parse(data) as T;
  } catch {
    throw new NotAgent3(`${client.url} sent an event that is no JSON.`, 200);
  }
}
