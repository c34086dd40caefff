import { limitRow, median, type Row } from '../bar.ts';
import { Connection, call, requestText } from '../client.ts';
import { callBody, cpuMs, type Server, startAgent } from '../servers.ts';

const LINES = 40;
const READERS = 200;
/** One token may use everything but a quarter. */
const SLOTS = 267;
const SECONDS = 10;

/** `read_session` with `wait`: how soon it answers, and what many that wait cost. */
export async function waiting(): Promise<Row[]> {
  using agent = await startAgent({ AGENT3_MAX_RUNNING: String(SLOTS) });
  const latencies = await latenciesOf(agent);
  return [
    limitRow('`read_session` with `wait`: from the write to the answer, p50', median(latencies), 'ms', 50),
    limitRow('the same, p99', median(latencies, 0.99), 'ms', 50),
    limitRow(`${READERS} readers that wait: CPU of the agent`, await costOfReaders(agent), '%', 5),
  ];
}

/** Milliseconds from a line's own time, which the command writes, to the answer that holds it. */
async function latenciesOf(agent: Server): Promise<number[]> {
  const cmd = `i=0; while [ $i -lt ${LINES} ]; do sleep 0.1; date +%s%N; i=$((i+1)); done`;
  const { session } = await call(agent, 'shell', { cmd, background: true });
  const latencies: number[] = [];
  for (let offset = 0, isOver = false; !isOver; ) {
    const { stdout, next_offset, eof } = await call(agent, 'read_session', { session, offset, wait: 10 });
    const now = performance.timeOrigin + performance.now();
    const written = Number(String(stdout).trim().split('\n').at(-1)) / 1e6;
    if (stdout !== '') latencies.push(now - written);
    offset = Number(next_offset);
    isOver = eof === true;
  }
  return latencies;
}

/** Per cent of one CPU that the agent takes while readers wait for commands that write nothing. */
async function costOfReaders(agent: Server): Promise<number> {
  const ids: string[] = [];
  for (let count = 0; count < READERS; count++) {
    const { session } = await call(agent, 'shell', { cmd: 'sleep 60', background: true });
    ids.push(String(session));
  }
  using connections = new DisposableStack();
  for (const session of ids) {
    const connection = connections.use(await Connection.open(agent.port));
    void connection.send(requestText(agent, callBody('read_session', { session, wait: 40 })));
  }
  await Bun.sleep(2000);
  const before = cpuMs(agent.pid);
  await Bun.sleep(SECONDS * 1000);
  const percent = (cpuMs(agent.pid) - before) / (SECONDS * 10);
  await Promise.all(ids.map((session) => call(agent, 'close_session', { session })));
  return percent;
}
