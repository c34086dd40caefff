import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limitRow, median, type Row } from '../bar.ts';
import { Connection, call, requestText, timeRequests } from '../client.ts';
import { callBody, newDirectory, startAgent } from '../servers.ts';

const SESSIONS = 10_000;
const STARTS = 5;
const REQUESTS = 500;

/** An agent with 10,000 ended sessions: its start, and `list_sessions`. */
export async function history(): Promise<Row[]> {
  const directory = newDirectory();
  await fill(join(directory, 'sessions'), directory);
  const starts: number[] = [];
  for (let count = 0; count < STARTS; count++) {
    const start = performance.now();
    using _agent = await startAgent({}, directory);
    starts.push(performance.now() - start);
    // Its lock is free once it is gone.
    _agent[Symbol.dispose]();
    await Bun.sleep(200);
  }
  using agent = await startAgent({}, directory);
  const { total } = await call(agent, 'list_sessions', {});
  if (total !== SESSIONS) throw new Error(`${total} sessions are listed`);
  using connection = await Connection.open(agent.port);
  const request = requestText(agent, callBody('list_sessions', {}));
  await timeRequests(connection, request, REQUESTS);
  const times = await timeRequests(connection, request, REQUESTS);
  return [
    limitRow(`start with ${SESSIONS} ended sessions, median`, median(starts) / 1000, 's', 1),
    limitRow('the same: `list_sessions`, p50', median(times), 'ms', 5),
  ];
}

/** Makes one real session, and copies of it under other ids, each a little older. */
async function fill(sessions: string, directory: string): Promise<void> {
  {
    using agent = await startAgent({}, directory);
    await call(agent, 'shell', { cmd: 'echo one of many' });
  }
  const name = readdirSync(sessions).find((entry) => /^[0-9a-f-]{36}$/.test(entry)) ?? '';
  const record = JSON.parse(readFileSync(join(sessions, name, 'meta.json'), 'utf8'));
  const files = readdirSync(join(sessions, name)).filter((file) => file !== 'meta.json');
  for (let count = 1; count < SESSIONS; count++) {
    const id = Bun.randomUUIDv7('hex', Date.now() - count * 1000);
    mkdirSync(join(sessions, id), { mode: 0o700 });
    writeFileSync(join(sessions, id, 'meta.json'), JSON.stringify({ ...record, session: id }));
    for (const file of files) writeFileSync(join(sessions, id, file), readFileSync(join(sessions, name, file)));
  }
}
