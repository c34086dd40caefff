import { newToken } from '../src/lib/token.ts';
import { build } from './build.ts';

/**
 * The first command of the README: builds the executable, starts it with a new token on 127.0.0.1, and prints a line to
 * paste. An installed agent has its settings in a file.
 */
const token = process.env['AGENT3_API_TOKEN'] || newToken();
const executable = build('agent3');
const port = process.env['AGENT3_PORT'] ?? '5000';
const host = process.env['AGENT3_HOST'] || '127.0.0.1';
const url = `http://${host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host}:${port}/`;

const agent = Bun.spawn([executable, 'serve'], {
  env: { ...process.env, AGENT3_HOST: host, AGENT3_PORT: port, AGENT3_API_TOKEN: token },
  stdio: ['ignore', 'inherit', 'inherit'],
});
process.on('SIGTERM', () => agent.kill('SIGTERM'));
process.on('SIGINT', () => {
  // A terminal sends Ctrl-C to the agent too, and a second signal would end it at once.
  if (!process.stdin.isTTY) agent.kill('SIGINT');
});

if (await answers(url)) {
  console.log(`
Agent3 answers on ${url}  (Ctrl-C stops it). Try it from another terminal:

curl -s ${url} -H 'X-Auth-Token: ${token}' -d '{"op":"shell","args":{"cmd":"uname -a"}}'
`);
}
process.exit(await agent.exited);

/** Returns true when this agent answers, checked by its token because another agent may use the port; false when it ended. */
async function answers(base: string): Promise<boolean> {
  // It may also end by a signal, without an exit code.
  const ended = new AbortController();
  void agent.exited.then(() => ended.abort());
  while (!ended.signal.aborted) {
    const init = { method: 'POST', headers: { 'x-auth-token': token }, body: '{"op":"server_info"}' };
    const answer = await fetch(base, { ...init, signal: ended.signal }).catch(() => undefined);
    if (answer?.ok === true) return true;
    await Bun.sleep(20);
  }
  return false;
}
