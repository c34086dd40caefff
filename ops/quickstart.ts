import { newToken } from '../src/core/token.ts';
import { build } from './build.ts';

/**
 * The README's first command: builds the executable, starts it with a new token on 127.0.0.1, and prints a line to
 * paste. For a first look; an installed agent has its settings in a file.
 */
const token = newToken();
const executable = build('agent3');
const port = process.env['AGENT3_PORT'] ?? '5000';
const url = `http://127.0.0.1:${port}/`;

const agent = Bun.spawn([executable, 'serve'], {
  env: { ...process.env, AGENT3_HOST: '127.0.0.1', AGENT3_PORT: port, AGENT3_API_TOKEN: token },
  stdio: ['ignore', 'inherit', 'inherit'],
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => agent.kill(signal));

if (await isHealthy(url)) {
  console.log(`
Agent3 answers on ${url}  (Ctrl-C stops it). Try it from another terminal:

curl -s ${url} -H 'X-Auth-Token: ${token}' -d '{"op":"shell","args":{"cmd":"uname -a"}}'
`);
}
process.exit(await agent.exited);

/** Whether the agent answers; false when it ended instead. */
async function isHealthy(base: string): Promise<boolean> {
  while (agent.exitCode === null) {
    const answer = await fetch(`${base}healthz`).catch(() => undefined);
    if (answer?.ok === true) return true;
    await Bun.sleep(20);
  }
  return false;
}
