import { limitRow, type Row } from '../bar.ts';
import { call } from '../client.ts';
import { newDirectory, rssMib, startAgent } from '../servers.ts';

const LINES = 1_000_000;
/** A line of 99 characters, as a terminal writes it: carriage return and line feed. */
const LINE_BYTES = 101;

/** 100 MB of output of a command in a terminal, which passes through the agent. */
export async function terminal(): Promise<Row[]> {
  using agent = await startAgent({ AGENT3_MAX_EXEC_SECONDS: '120' }, newDirectory('plain'));
  await call(agent, 'shell', { cmd: 'true', pty: true });
  const idle = rssMib(agent.pid);
  let highest = idle;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMib(agent.pid));
  }, 20);
  const start = performance.now();
  const cmd = `head -c 99000000 /dev/zero | tr '\\0' x | fold -w 99; echo`;
  const { session } = await call(agent, 'shell', { cmd, pty: true, background: true });
  let state: Record<string, unknown>;
  do {
    state = await call(agent, 'read_session', { session, offset: 2 * LINES * LINE_BYTES, wait: 40 });
  } while (state['status'] === 'running');
  clearInterval(sampler);
  if (state['stdout_bytes'] !== LINES * LINE_BYTES) throw new Error(`${state['stdout_bytes']} bytes are kept`);
  return [
    limitRow('100 MB of output of a command with `pty`: growth of the agent’s RSS', highest - idle, 'MiB', 32),
    limitRow('the same: wall', (performance.now() - start) / 1000, 's', 30),
  ];
}
