import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median, missingRow, type Row, ratioRow } from '../bar.ts';
import { newDirectory, type Server, startAgent, startFlask, startWebhook, TOKEN } from '../servers.ts';

const CLIENTS = 16;
const ROUNDS = 5;
const SECONDS = 2;

/** `true` with 16 clients: requests a second, against webhook and the Flask agent. */
export async function parallel(has: {
  readonly webhook: boolean;
  readonly flask: boolean;
  readonly wrk: boolean;
}): Promise<Row[]> {
  if (!has.wrk) return [missingRow('`true` with 16 clients', 'no wrk')];
  using agent = await startAgent();
  using webhook = has.webhook ? await startWebhook() : undefined;
  using flask = has.flask ? await startFlask() : undefined;
  const servers: Record<string, Server> = { agent, ...(webhook && { webhook }), ...(flask && { flask }) };
  const rates: Record<string, number[]> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, server] of Object.entries(servers)) rates[name] = [...(rates[name] ?? []), load(server)];
  }
  const row = (peer: string, name: string, atLeast: number): Row => {
    const bar = `\`true\` with ${CLIENTS} clients, against ${name}`;
    if (rates[peer] === undefined) return missingRow(bar, `no ${name}`);
    const figures = { measured: median(rates['agent'] ?? []), baseline: median(rates[peer]), unit: '/s', peer: name };
    return ratioRow(bar, figures, { atLeast });
  };
  return [row('webhook', 'webhook', 0.85), row('flask', 'Flask', 3)];
}

/** Requests a second that wrk gets answered with 200. Throws when any was refused. */
function load(server: Server): number {
  const script = join(newDirectory(), 'request.lua');
  writeFileSync(
    script,
    `wrk.method = "POST"\nwrk.body = ${JSON.stringify(server.body)}\nwrk.headers["X-Auth-Token"] = "${TOKEN}"\nwrk.headers["Content-Type"] = "application/json"\n`,
  );
  const url = `http://127.0.0.1:${server.port}${server.path}`;
  const { stdout } = Bun.spawnSync(['wrk', '-t1', `-c${CLIENTS}`, `-d${SECONDS}s`, '-s', script, url]);
  const report = stdout.toString();
  if (/Non-2xx/.test(report)) throw new Error(`requests were refused:\n${report}`);
  return Number(/Requests\/sec:\s*([\d.]+)/.exec(report)?.[1]);
}
