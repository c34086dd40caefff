import { delay } from '../lib/clock.ts';
import { BackgroundOff } from '../lib/errors.ts';
import { MAX_SESSIONS } from '../lib/limits.ts';
import type { AgentClient } from './agent-client.ts';
import { type Backoff, isTransient, isTransientOnceReached, retry } from './backoff.ts';
import { NotAgent3, Refused, UnknownSession } from './faults.ts';

/** A call in the foreground is answered within this time: the largest reply window of an agent, and some more. */
const FOREGROUND_SECONDS = 210;

/** The arguments of `shell` that start a command. */
export interface Order {
  /** A server of the fleet. */
  readonly server?: string;
  readonly cmd: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeout?: number;
  readonly stdin?: string;
  readonly interactive?: boolean;
  readonly pty?: boolean;
  readonly rows?: number;
  readonly cols?: number;
  readonly key: string;
}

/** A started command. */
export interface Started {
  readonly session: string;
  /** The key was used before: this is the session of the earlier command, and nothing new was run. */
  readonly isEarlier: boolean;
  /** Why it needs approval first; undefined when it runs. */
  readonly waitsFor: string | undefined;
}

interface ShellAnswer {
  readonly session?: unknown;
  readonly status?: unknown;
  readonly repeat?: unknown;
  readonly reason?: unknown;
}

/**
 * Starts a command in the background, or in the foreground where the agent forbids that. Repeats a call whose answer was
 * lost; its key prevents that it runs twice. Throws a `ClientFault`.
 */
export async function startCommand(client: AgentClient, order: Order, backoff: Backoff): Promise<Started> {
  try {
    return await startAs(client, { ...order, background: true, max_output: 256 }, undefined, backoff);
  } catch (fault) {
    if (!(fault instanceof Refused) || fault.code !== BackgroundOff.code) throw fault;
    return startAs(client, { ...order, max_output: 256 }, FOREGROUND_SECONDS, backoff);
  }
}

async function startAs(
  client: AgentClient,
  args: object,
  seconds: number | undefined,
  backoff: Backoff,
): Promise<Started> {
  let attempts = 0;
  const { session, status, reason, repeat } = await retry(
    () => {
      attempts++;
      return client.call<ShellAnswer>('shell', args, seconds === undefined ? {} : { seconds });
    },
    isTransientOnceReached(),
    backoff,
  );
  if (typeof session !== 'string') throw new NotAgent3(`${client.url} is not Agent3: its answer has no session.`, 200);
  return {
    session,
    isEarlier: repeat === true && attempts === 1,
    waitsFor: status === 'waiting' ? String(reason ?? 'the rules ask for it') : undefined,
  };
}

/** Every agent answers within this time by default. */
const WAIT_SECONDS = 20;
const STUCK_PAUSE_MS = 100;

/** The part of a session to read. */
export interface Reading {
  readonly stream: 'stdout' | 'stderr';
  /** In bytes; negative: counted from the end. */
  readonly offset: number;
  readonly follow: boolean;
  /** Exact bytes; otherwise text, without the escape sequences of a terminal. */
  readonly raw: boolean;
}

/** The state of a command when it has ended. */
export interface EndState {
  readonly session: string;
  readonly status: string;
  readonly exit_code: number | null;
  readonly duration_ms: number;
  readonly message?: string;
  /** What the command waited for when it was stopped at its time limit. */
  readonly waited_for?: string;
}

interface Page extends EndState {
  readonly stdout: string;
  readonly stderr: string;
  readonly next_offset: number;
  readonly eof: boolean;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
}

/** Returns the session with this id, or with this unique beginning of its id. Throws a `ClientFault`. */
export async function findSession(client: AgentClient, text: string): Promise<string> {
  if (!/^[0-9a-f-]{4,35}$/.test(text)) return text;
  const all = await listSessions(client, Number.MAX_SAFE_INTEGER, undefined);
  const found = all.filter(({ session }) => session.startsWith(text));
  if (found.length === 1) return found[0]?.session ?? text;
  const words = found.map(({ session }) => session);
  throw new UnknownSession(
    found.length === 0
      ? `no session id begins with ${text}. To see them: agent3 session list`
      : `${found.length} session ids begin with ${text}: ${words.slice(0, 5).join(', ')}${words.length > 5 ? ', …' : ''}`,
  );
}

/**
 * Yields a stream of a session, page by page; one that is emptied meanwhile begins again. Returns the state of the
 * command at the end. Throws a `ClientFault`.
 */
export async function* readStream(
  client: AgentClient,
  session: string,
  { stream, offset: from, follow, raw }: Reading,
): AsyncGenerator<Uint8Array, EndState> {
  const encoding = raw ? 'base64' : 'utf8';
  let offset = from;
  let seen = 0;
  let wait = 0;
  let worthwhile = isTransientOnceReached();
  for (;;) {
    const args = { session, stream, offset, encoding, wait, until: 'output' };
    const page = await retry(() => client.call<Page>('read_session', args, { seconds: 30 + wait }), worthwhile);
    worthwhile = isTransient;
    const text: unknown = page[stream];
    if (typeof text !== 'string' || !Number.isSafeInteger(page.next_offset))
      throw new NotAgent3(`${client.url} is not Agent3: its answer has no ${stream}.`, 200);
    if (text !== '') yield Buffer.from(text, encoding);
    const size = page[`${stream}_bytes`];
    const wasEmptied = size < seen;
    seen = size;
    const isStuck = page.next_offset === offset;
    offset = wasEmptied ? 0 : page.next_offset;
    const isAtEnd = isStuck || offset >= size;
    if (!wasEmptied && (page.eof || (isAtEnd && !follow))) return page;
    // There is an incomplete escape sequence, but no text yet.
    if (isStuck) await delay(STUCK_PAUSE_MS);
    wait = isAtEnd ? WAIT_SECONDS : 0;
  }
}

const PAGE_SESSIONS = 100;

/** A session, as `list_sessions` returns it. */
export interface ListedSession {
  readonly session: string;
  readonly status: string;
  readonly cmd: string;
  /** ISO 8601, UTC. */
  readonly started_at: string;
  readonly duration_ms: number;
  readonly exit_code: number | null;
  readonly stdout_bytes: number;
  readonly stderr_bytes: number;
}

interface ListPage {
  readonly sessions: readonly ListedSession[];
  readonly next_before: string | null;
}

/** Returns the newest `limit` sessions, of a server of the fleet where `server` names one, read page by page. Throws a `ClientFault`. */
export async function listSessions(
  client: AgentClient,
  limit: number,
  status: string | undefined,
  server?: string,
): Promise<ListedSession[]> {
  const listed: ListedSession[] = [];
  let before: string | null = null;
  while (listed.length < limit) {
    const args: object = {
      limit: Math.min(PAGE_SESSIONS, limit - listed.length),
      ...(server !== undefined && { server }),
      ...(status !== undefined && { status }),
      ...(before !== null && { before }),
    };
    const page: ListPage = await retry(() => client.call<ListPage>('list_sessions', args), isTransientOnceReached());
    if (!Array.isArray(page.sessions) || page.sessions.some(({ session }) => typeof session !== 'string'))
      throw new NotAgent3(`${client.url} is not Agent3: its answer has no sessions.`, 200);
    listed.push(...page.sessions);
    before = page.next_before;
    if (typeof before !== 'string' || listed.length >= MAX_SESSIONS) break;
  }
  return listed;
}
