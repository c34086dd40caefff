import { isatty } from 'node:tty';
import type { AgentClient } from '../client/agent-client.ts';
import { writeAll } from '../client/descriptor.ts';
import { ClientFault, OutputClosed } from '../client/faults.ts';
import { listSessions } from '../client/list.ts';
import { mayPassOnceReached, persist } from '../client/patience.ts';
import { readStream } from '../client/read.ts';
import { visibleJson } from '../lib/visible.ts';
import { processEnvironment } from '../settings/config.ts';
import { endOutput } from './broken-pipe.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import type { RemoteOptions } from './remote.ts';
import { remoteClient } from './remote-client.ts';
import type { KillOptions, ListOptions, ReadOptions } from './sessions-arguments.ts';
import { oneLine, sessionsTabbed, sessionsTable } from './sessions-table.ts';

/** `agent3 sessions ls`. */
export async function printSessions(options: ListOptions): Promise<void> {
  await withClient(options, async (client) => {
    const limit = options.all === true ? Number.MAX_SAFE_INTEGER : options.limit;
    const sessions = await listSessions(client, limit, options.status);
    if (options.json === true) return print(`${visibleJson(sessions)}\n`);
    if (!isatty(1)) return print(sessionsTabbed(sessions));
    const { NO_COLOR, TERM } = processEnvironment();
    const hasColours = (NO_COLOR ?? '') === '' && TERM !== 'dumb';
    const [columns] = process.stdout.getWindowSize();
    return print(sessionsTable(sessions, { columns, hasColours, nowMs: Date.now() }));
  });
}

/** `agent3 sessions read`. */
export async function printStream(session: string, options: ReadOptions): Promise<void> {
  await withClient(options, async (client) => {
    const stream = options.stderr === true ? 'stderr' : 'stdout';
    const raw = options.raw === true || !isatty(1);
    const reading = { stream, offset: options.offset, follow: options.follow === true, raw } as const;
    for await (const bytes of readStream(client, session, reading)) await writeAll(1, bytes);
  });
}

/** `agent3 sessions kill`. */
export async function killSession(session: string, options: KillOptions): Promise<void> {
  await withClient(options, async (client) => {
    interface Killed {
      readonly status: string;
      readonly signalled: number;
    }
    const args = { session, signal: options.signal };
    const { status, signalled } = await persist(() => client.call<Killed>('kill_session', args), mayPassOnceReached());
    await print(
      `${session}\t${oneLine(status)}\t${signalled} ${signalled === 1 ? 'process' : 'processes'} signalled\n`,
    );
  });
}

/** `agent3 sessions close`. */
export async function closeSessions(ids: readonly string[], options: RemoteOptions): Promise<void> {
  await withClient(options, async (client) => {
    for (const session of ids) {
      await persist(() => client.call('close_session', { session }), mayPassOnceReached());
      await print(`${session}\tclosed\n`);
    }
  });
}

/** Runs `work` with the agent that the options name; a fault is told, and ends the process with 1. */
async function withClient(options: RemoteOptions, work: (client: AgentClient) => Promise<void>): Promise<void> {
  try {
    await work(remoteClient(options, (fault) => fail(EXIT_USAGE, fault)));
  } catch (error) {
    // The reader had enough: `agent3 sessions read … | head`.
    if (error instanceof OutputClosed) endOutput(error);
    if (error instanceof ClientFault) fail(EXIT_FAILURE, error.message);
    throw error;
  }
}

function print(text: string): Promise<void> {
  return writeAll(1, Buffer.from(text));
}
