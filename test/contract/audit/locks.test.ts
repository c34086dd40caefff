import { afterAll, expect, test } from 'bun:test';
import { chmodSync, mkdirSync } from 'node:fs';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

/*
 * A lock that a command can take keeps nobody waiting without end, and is told with its holder; one that a sandbox
 * could reach is hidden from it.
 */

const place = new TemporaryDirectory();
afterAll(() => place[Symbol.dispose]());
mkdirSync(place.join('sessions'), { mode: 0o700 });
const TOKENS = { AGENT3_TOKENS_FILE: place.join('tokens.json') };
const SERVE = { AGENT3_API_TOKEN: 'x'.repeat(32), AGENT3_PORT: '0', AGENT3_SESSIONS_DIR: place.join('sessions') };

/** Longer than any of them waits, and shorter than a person does. */
const TIMEOUT_MS = 10_000;

const rows: readonly [lock: string, argv: string[], settings: Record<string, string>][] = [
  ['tokens.json.lock', ['token', 'create', 'anna', '--profile', 'full'], TOKENS],
  ['sessions/.lock', ['serve'], SERVE],
  ['audit.jsonl.head', ['serve'], { ...SERVE, AGENT3_AUDIT_FILE: place.join('audit.jsonl') }],
];

test.each(rows)('%s, which a command holds', async (lock, argv, settings) => {
  await using holder = Bun.spawn(['flock', place.join(lock), 'sleep', '60'], { stdio: ['ignore', 'ignore', 'ignore'] });
  await eventually('it is held', () => Bun.spawnSync(['flock', '-n', place.join(lock), 'true']).exitCode === 1);
  const start = performance.now();
  const { code, stderr } = await agent3(argv, settings);
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`process ${holder.pid} (flock) holds`) });
  expect(performance.now() - start).toBeLessThan(TIMEOUT_MS);
});

const hasSandbox = Bun.spawnSync(['bwrap', '--ro-bind', '/', '/', 'true'], { stderr: 'ignore' }).exitCode === 0;
test.skipIf(!hasSandbox)('of the tokens cannot be taken by a sandbox', async () => {
  // What lies in /tmp is not there anyway.
  using place = new TemporaryDirectory('/var/lib');
  // Users who run commands in a sandbox may enter it.
  chmodSync(place.join(''), 0o755);
  const tokens = { AGENT3_TOKENS_FILE: place.join('tokens.json') };
  const create = (name: string) => agent3(['token', 'create', name, '--profile', 'full'], tokens);
  expect((await create('anna')).code).toBe(0);
  await using agent = await startAgent({ ...tokens, AGENT3_PROFILE: 'readonly' });
  const cmd = `exec 9< ${place.join('tokens.json.lock')}; flock 9; echo tried; sleep 30`;
  const { session } = await agent.shell({ cmd, background: true });
  await eventually('it has tried', async () => (await agent.read({ session })).stdout === 'tried\n');
  expect(await create('bert')).toMatchObject({ code: 0 });
});
