import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GreedyOrder } from '../../helpers/greedy-client.ts';
import { limitRow, median, type Row } from '../bar.ts';
import { Connection, call, requestText } from '../client.ts';
import { createToken, newDirectory, rssMib, startAgent, TOKEN } from '../servers.ts';

const CALLS = 200;
const LINE = 'Nov 28 20:00:00 host app[123]: user=bob password=hunter2secret path=/var/log/x status=200';
/** Of output that one session holds, each line with a secret. */
const BYTES = 400_000_000;
/** After the load has ended. */
const REST_SECONDS = 30;

/** Everything that one token is given, all at once, and what that is to another token. */
export async function neighbour(): Promise<Row[]> {
  const directory = newDirectory('plain');
  const profiles = join(directory, 'profiles');
  mkdirSync(profiles);
  writeFileSync(join(profiles, 'masked.toml'), 'extends = "full"\nmask = true\n');
  const tokens = join(directory, 'tokens.json');
  const other = await createToken(tokens);
  const settings = { AGENT3_TOKENS_FILE: tokens, AGENT3_PROFILES_DIR: profiles, AGENT3_PROFILE: 'masked' };
  using agent = await startAgent({ ...settings, AGENT3_AUDIT_FILE: join(directory, 'audit.jsonl') }, directory);
  const url = `http://127.0.0.1:${agent.port}`;
  const { session } = await call(agent, 'shell', { cmd: `yes '${LINE}' | head -c ${BYTES}`, max_output: 256 });
  // The hash of its output is made meanwhile.
  await Bun.sleep(2000);
  const before = rssMib(agent.pid);
  let highest = before;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMib(agent.pid));
  }, 50);
  const greedy = startGreedy({ ...EVERYTHING, url, token: TOKEN, session: String(session) });
  await greedy.stdout.getReader().read();
  let isOver = false;
  const health = timesUntil(() => isOver, agent.port, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const calls: number[] = [];
  using connection = await Connection.open(agent.port);
  const request = requestText(agent, undefined, other);
  while (calls.length < CALLS) {
    const start = performance.now();
    const { status } = JSON.parse(await connection.send(request));
    if (status !== 'done') throw new Error(`a call of the other token was answered ${status}`);
    calls.push(performance.now() - start);
  }
  isOver = true;
  const healthz = await health;
  greedy.kill('SIGKILL');
  await greedy.exited;
  clearInterval(sampler);
  for (const { session: of } of await runningSessions(agent)) await call(agent, 'close_session', { session: of });
  await Bun.sleep(REST_SECONDS * 1000);
  return [
    limitRow('another token’s `true` while one token runs all that it may, p50', median(calls), 'ms', 500),
    limitRow('the same, p99', median(calls, 0.99), 'ms', 500),
    limitRow('the same, worst', Math.max(...calls), 'ms', 1000),
    limitRow('the same: `/healthz`, worst', Math.max(...healthz), 'ms', 300),
    limitRow('the same: growth of the agent’s RSS', highest - before, 'MiB', 60),
    limitRow(`the same, ${REST_SECONDS} s later`, rssMib(agent.pid) - before, 'MiB', 60),
  ];
}

const EVERYTHING = {
  streams: 75,
  openers: 10,
  busy: 24,
  readers: 4,
  searchers: 4,
  senders: 8,
  commands: 3000,
} satisfies Partial<GreedyOrder>;

function startGreedy(order: GreedyOrder) {
  return Bun.spawn([process.execPath, join(import.meta.dir, '../../helpers/greedy-client.ts')], {
    stdin: Buffer.from(JSON.stringify(order)),
    stdout: 'pipe',
  });
}

async function timesUntil(isOver: () => boolean, port: number, request: string): Promise<number[]> {
  using connection = await Connection.open(port);
  const times: number[] = [];
  while (!isOver()) {
    const start = performance.now();
    await connection.send(request);
    times.push(performance.now() - start);
    await Bun.sleep(10);
  }
  return times;
}

async function runningSessions(agent: Parameters<typeof call>[0]): Promise<readonly { readonly session: string }[]> {
  const { sessions } = await call(agent, 'list_sessions', { status: 'running', limit: 100 });
  return sessions as { session: string }[];
}
