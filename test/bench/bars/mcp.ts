import { statSync } from 'node:fs';
import { limitRow, median, missingRow, type Row } from '../bar.ts';
import { Connection, requestText, timeRequests } from '../client.ts';
import { EARLIER, EXECUTABLE, type Server, startAgent, statusField } from '../servers.ts';

const ROUNDS = 30;
const PER_ROUND = 60;
/** The first rounds warm up caches and compilers. */
const WARM_UP = 5;
const STARTS = 11;
/** Of each build, for its memory. */
const PAIRS = 5;
const IDLE_MS = 3000;

const CALL = { name: 'shell', arguments: { cmd: 'true' } };
const OLDER = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: CALL };
const NEWER = {
  ...OLDER,
  params: {
    ...CALL,
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
};
const NEWER_HEADERS = 'Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: shell';

/** Signing in is on: clients that may sign in are what all this is for. */
const SIGN_IN = {
  AGENT3_PUBLIC_URL: 'https://agent.example.org',
  AGENT3_GRANT_KEY: 'a-key-of-thirty-two-characters-at-least',
};

/** `true` as MCP clients call it, against `POST /`; the first call of a client; and what MCP and signing in weigh. */
export async function mcp(): Promise<Row[]> {
  return [...(await calls()), ...(await firstCalls()), ...(await weights())];
}

async function calls(): Promise<Row[]> {
  using agent = await startAgent(SIGN_IN);
  const connection = await Connection.open(agent.port);
  const requests = {
    post: requestText(agent),
    older: requestText({ ...agent, path: '/mcp' }, JSON.stringify(OLDER)),
    newer: newerRequest(agent),
  };
  const times: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, request] of Object.entries(requests)) {
      const took = await timeRequests(connection, request, PER_ROUND);
      if (round >= WARM_UP) times[name] = [...(times[name] ?? []), ...took];
    }
  }
  const moreThanPost = (name: string): number => median(times[name] ?? []) - median(times['post'] ?? []);
  const bar = '`true` by `tools/call` over one connection, p50: more than `POST /`';
  return [
    limitRow(`${bar}, older clients`, moreThanPost('older'), 'ms', 0.2),
    limitRow(`${bar}, clients of 2026-07-28`, moreThanPost('newer'), 'ms', 0.4),
  ];
}

function newerRequest(agent: Server): string {
  const [head = '', body = ''] = requestText({ ...agent, path: '/mcp' }, JSON.stringify(NEWER)).split('\r\n\r\n');
  return `${head}\r\n${NEWER_HEADERS}\r\n\r\n${body}`;
}

/** The first request of a client loads what MCP needs. */
async function firstCalls(): Promise<Row[]> {
  const times: Record<'older' | 'newer', number[]> = { older: [], newer: [] };
  for (let count = 0; count < STARTS; count++) {
    for (const era of ['older', 'newer'] as const) {
      using agent = await startAgent(SIGN_IN);
      const request =
        era === 'newer' ? newerRequest(agent) : requestText({ ...agent, path: '/mcp' }, JSON.stringify(OLDER));
      times[era].push(...(await timeRequests(await Connection.open(agent.port), request, 1)));
    }
  }
  const bar = 'the first `tools/call` of `true` after a start, median';
  return [
    limitRow(`${bar}, older clients`, median(times.older), 'ms', 100),
    limitRow(`${bar}, clients of 2026-07-28`, median(times.newer), 'ms', 100),
  ];
}

/** Against an earlier build that `AGENT3_BENCH_EARLIER` names. */
async function weights(): Promise<Row[]> {
  const bars = [
    'executable: more than the earlier build',
    'idle: anonymous memory more than the earlier build',
  ] as const;
  if (EARLIER === undefined) return bars.map((bar) => missingRow(bar, 'AGENT3_BENCH_EARLIER names none'));
  const grown = (statSync(EXECUTABLE).size - statSync(EARLIER).size) / 1_000_000;
  const own: number[] = [];
  const earlier: number[] = [];
  for (let count = 0; count < PAIRS; count++) {
    own.push(await idleMib(EXECUTABLE, SIGN_IN));
    earlier.push(await idleMib(EARLIER));
  }
  return [limitRow(bars[0], grown, 'MB', 1.5), limitRow(bars[1], median(own) - median(earlier), 'MiB', 4)];
}

async function idleMib(executable: string, settings: Readonly<Record<string, string>> = {}): Promise<number> {
  using agent = await startAgent(settings, undefined, executable);
  await Bun.sleep(IDLE_MS);
  return statusField(agent.pid, 'RssAnon') / 1024;
}
