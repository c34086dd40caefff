import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from './directories.ts';
import { within } from './waiting.ts';

const SUITE = join(import.meta.dir, '../../node_modules/@modelcontextprotocol/conformance/dist/index.js');

const TIMEOUT_MS = 50_000;

/** How one scenario of the suite went. */
export interface Score {
  readonly passed: number;
  /** The checks that failed. */
  readonly failed: readonly string[];
}

/** The scenarios of a revision: those that it requires, which are frozen, or all that the suite has for it. */
export const REVISIONS = {
  '2026-07-28': ['--requirements', '2026-07-28'],
  '2025-11-25': ['--suite', 'all', '--spec-version', '2025-11-25'],
} as const;

/**
 * Runs the server scenarios of the public conformance suite for a revision against the agent at `url`. The suite sends no
 * token of its own: `token` is put on its requests on the way, which are otherwise passed on as they are.
 */
export async function conformance(
  url: string,
  token: string,
  revision: keyof typeof REVISIONS,
): Promise<ReadonlyMap<string, Score>> {
  using results = new TemporaryDirectory();
  const proxy = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => forward(request, url, token) });
  try {
    const target = `http://127.0.0.1:${proxy.port}/mcp`;
    const args = ['server', '--url', target, ...REVISIONS[revision], '-o', results.path];
    const { stderr } = await runSuite(args, results.path);
    const scores = scoresIn(results.path);
    if (scores.size === 0) throw new Error(`the suite gave no results:\n${stderr}`);
    return scores;
  } finally {
    await proxy.stop(true);
  }
}

/** Starts the suite. It needs Bun in the place of Node, whose version here lacks what it calls. */
export function startSuite(args: readonly string[], cwd: string): Bun.Subprocess<'ignore', 'pipe', 'pipe'> {
  return Bun.spawn([process.execPath, '--bun', SUITE, ...args], {
    cwd,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
}

async function runSuite(args: readonly string[], cwd: string): Promise<{ stdout: string; stderr: string }> {
  const child = startSuite(args, cwd);
  const outputs = Promise.all([child.stdout.text(), child.stderr.text()]);
  const [stdout, stderr] = await within('the conformance suite', outputs, TIMEOUT_MS);
  return { stdout, stderr };
}

function forward({ url, method, headers, body }: Request, target: string, token: string): Promise<Response> {
  const sent = new Headers(headers);
  sent.set('authorization', `Bearer ${token}`);
  return fetch(target + new URL(url).pathname, { method, headers: sent, body });
}

/** Reads the directories that the suite wrote: `server-ping-2026-11-29T04-51-06-652Z/checks.json`. */
export function scoresIn(directory: string): Map<string, Score> {
  const scores = new Map<string, Score>();
  for (const entry of readdirSync(directory)) {
    const [, name] = /^(?:authorization-)?server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry) ?? [];
    if (name === undefined) continue;
    const checks: { id: string; status: string }[] = JSON.parse(
      readFileSync(join(directory, entry, 'checks.json'), 'utf8'),
    );
    const withStatus = (...states: string[]) =>
      checks.filter(({ status }) => states.includes(status)).map(({ id }) => id);
    scores.set(name, { passed: withStatus('SUCCESS').length, failed: withStatus('FAILURE', 'WARNING') });
  }
  return scores;
}
