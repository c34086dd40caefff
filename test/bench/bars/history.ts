import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WireClient } from '../../../src/console/wire-client.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { limitRow, median, missingRow, type Row } from '../bar.ts';
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
  const owner = await ownersHistory(directory);
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
    ...owner,
  ];
}

const QUESTIONS = 21;
const RECORDED = 5000;

/** What the console of its owner asks of the past. */
async function ownersHistory(directory: string): Promise<Row[]> {
  const [sessions, record] = [
    'the same: the owner lists and searches them, p50',
    `a record of ${RECORDED} commands: searched, p50`,
  ];
  if (process.geteuid?.() !== 0) return [sessions, record].map((name) => missingRow(name, 'only root has a console'));
  using files = new ConsoleFiles();
  const audit = join(directory, 'audit.jsonl');
  writeFileSync(`${audit}.1`, recordOf(RECORDED));
  using _agent = await startAgent({ ...files.settings, AGENT3_AUDIT_FILE: audit }, directory);
  const wire = new WireClient(files.settings.AGENT3_CONSOLE_SOCKET, files.settings.AGENT3_CONSOLE_KEY);
  const p50 = async (op: string, ...questions: readonly object[]): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < QUESTIONS; round++)
      for (const question of questions) {
        const start = performance.now();
        await wire.request(op, question);
        times.push(performance.now() - start);
      }
    return median(times);
  };
  try {
    return [
      limitRow(sessions, await p50('history', {}, { text: 'none has this' }), 'ms', 200),
      limitRow(record, await p50('record', { text: 'none has this' }), 'ms', 200),
    ];
  } finally {
    wire.close();
  }
}

/** The lines of so many commands within a day, each with its end. */
function recordOf(commands: number): string {
  const day = Date.now() - 86_400_000;
  const lines = Array.from({ length: 2 * commands }, (_, at) => {
    const session = `00000000-0000-7000-8000-${String(at >> 1).padStart(12, '0')}`;
    const time = new Date(day + at * 8000).toISOString();
    const what =
      at % 2 === 0 ? { event: 'start', cmd: `echo ${at}; ${'x'.repeat(200)}` } : { event: 'end', exit_code: 0 };
    return `${JSON.stringify({ seq: at + 1, time, ...what, session, token: 'default', prev: 'a'.repeat(64) })}\n`;
  });
  return lines.join('');
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
