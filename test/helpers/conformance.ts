import { join } from 'node:path';
import { TemporaryDirectory } from './directories.ts';
import { within } from './waiting.ts';

const SUITE = join(import.meta.dir, '../../node_modules/@modelcontextprotocol/conformance/dist/index.js');

const PATIENCE_MS = 50_000;

/** How one scenario of the suite went. */
export interface Score {
  readonly passed: number;
  readonly failed: number;
}

/**
 * Runs all server scenarios of the public conformance suite against the agent at `url`. The suite sends no token of its
 * own: `token` is put on its requests on the way, which are otherwise passed on as they are.
 */
export async function conformance(url: string, token: string): Promise<ReadonlyMap<string, Score>> {
  using results = new TemporaryDirectory();
  const proxy = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => forward(request, url, token) });
  try {
    const child = Bun.spawn(
      [
        process.execPath,
        SUITE,
        'server',
        '--url',
        `http://127.0.0.1:${proxy.port}/mcp`,
        '--suite',
        'all',
        '-o',
        results.path,
      ],
      { cwd: results.path, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
    );
    const outputs = Promise.all([child.stdout.text(), child.stderr.text()]);
    const [stdout, stderr] = await within('the conformance suite', outputs, PATIENCE_MS);
    const scores = summaryOf(stdout);
    if (scores.size === 0) throw new Error(`the suite gave no summary:\n${stderr}`);
    return scores;
  } finally {
    await proxy.stop(true);
  }
}

function forward({ url, method, headers, body }: Request, target: string, token: string): Promise<Response> {
  const sent = new Headers(headers);
  sent.set('authorization', `Bearer ${token}`);
  return fetch(target + new URL(url).pathname, { method, headers: sent, body });
}

/** The lines of the suite's summary: `✓ ping: 1 passed, 0 failed`. */
function summaryOf(output: string): Map<string, Score> {
  const lines = output.matchAll(/^[✓✗] (\S+): (\d+) passed, (\d+) failed$/gmu);
  return new Map(
    [...lines].map(([, name = '', passed, failed]) => [name, { passed: Number(passed), failed: Number(failed) }]),
  );
}
