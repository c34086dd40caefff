import type { AgentClient } from './agent-client.ts';
import { mayPassOnceReached, persist } from './patience.ts';

/** Most of one page. */
const PAGE_SESSIONS = 100;

/** A session, as `list_sessions` tells it. */
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

/** The newest `limit` sessions, page by page. Throws a `ClientFault`. */
export async function listSessions(
  client: AgentClient,
  limit: number,
  status: string | undefined,
): Promise<ListedSession[]> {
  const listed: ListedSession[] = [];
  let before: string | null = null;
  while (listed.length < limit) {
    const args: object = {
      limit: Math.min(PAGE_SESSIONS, limit - listed.length),
      ...(status !== undefined && { status }),
      ...(before !== null && { before }),
    };
    const page: ListPage = await persist(() => client.call<ListPage>('list_sessions', args), mayPassOnceReached());
    listed.push(...page.sessions);
    before = page.next_before;
    if (before === null) break;
  }
  return listed;
}
