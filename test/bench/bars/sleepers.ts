import { limitRow, type Row } from '../bar.ts';
import { Connection, requestText } from '../client.ts';
import { callBody, rssMib, startAgent } from '../servers.ts';

const COMMANDS = 300;
/** One token may use everything but a quarter. */
const SLOTS = 400;

/** 300 commands `sleep 5` at once. */
export async function sleepers(): Promise<Row[]> {
  using agent = await startAgent({ AGENT3_MAX_RUNNING: String(SLOTS) });
  let highest = 0;
  const sampler = setInterval(() => {
    highest = Math.max(highest, rssMib(agent.pid));
  }, 50);
  const seconds = await Promise.all(Array.from({ length: COMMANDS }, () => sleep()));
  clearInterval(sampler);
  return [
    limitRow(`${COMMANDS} × \`sleep 5\` at once: the last answer`, Math.max(...seconds), 's', 6),
    limitRow('the same: the agent’s RSS', highest, 'MiB', 120),
  ];

  async function sleep(): Promise<number> {
    // A connection for each: fetch would hold back what is beyond its 256.
    using connection = await Connection.open(agent.port);
    const start = performance.now();
    const answer = await connection.send(requestText(agent, callBody('shell', { cmd: 'sleep 5' })));
    const { status, exit_code } = JSON.parse(answer);
    if (status !== 'done' || exit_code !== 0) throw new Error(`a sleeper ended with ${status}, ${exit_code}`);
    return (performance.now() - start) / 1000;
  }
}
