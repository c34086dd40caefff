import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { limitRow, median, type Row, ratioRow } from '../bar.ts';
import { Connection, requestText, timeRequests } from '../client.ts';
import { newDirectory, startAgent } from '../servers.ts';
import { Spawner } from '../spawner.ts';

/** An agent serves a model a hundred calls a day: what a compiler learns from thousands of them, it never learns. */
const FIRST = 20;
const LAST = 300;
const ROUNDS = 3;

const PAUSED_CALLS = 40;
const PAUSE_MS = 200;

/** As many as a sessions directory loses in some days; the file system then looks for places that are free. */
const DELETIONS = 50_000;

/** `true` over one connection from a fresh start: in a quiet directory, with pauses, and after many deletions. */
export async function cold(): Promise<Row[]> {
  using spawner = new Spawner();
  const floor: number[] = [];
  const quiet: number[] = [];
  const worn: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    floor.push(...(await spawner.run(LAST - FIRST)));
    quiet.push(...(await coldCalls(newDirectory())));
    const directory = newDirectory();
    wearOut(directory);
    worn.push(...(await coldCalls(directory)));
  }
  const measured = median(quiet);
  const figures = { measured, baseline: median(floor), unit: 'ms', peer: 'posix_spawn' };
  const afterDeletions = { measured: median(worn), baseline: measured, unit: 'ms', peer: 'before' };
  const calls = `\`true\` from a fresh start, calls ${FIRST} to ${LAST}, p50`;
  return [
    ratioRow(`${calls}, against posix_spawn`, figures, { atMost: 2.2 }),
    ratioRow(`${calls}, after ${DELETIONS} deletions`, afterDeletions, { atMost: 1.2 }),
    limitRow(`\`true\` from a fresh start, ${PAUSE_MS} ms between calls, p50`, median(await paused()), 'ms', 10),
  ];
}

async function coldCalls(directory: string): Promise<number[]> {
  using agent = await startAgent({}, directory);
  const connection = await Connection.open(agent.port);
  const times = await timeRequests(connection, requestText(agent), LAST);
  return times.slice(FIRST);
}

async function paused(): Promise<number[]> {
  using agent = await startAgent();
  const connection = await Connection.open(agent.port);
  const times: number[] = [];
  for (let call = 0; call < PAUSED_CALLS; call++) {
    times.push(...(await timeRequests(connection, requestText(agent), 1)));
    await Bun.sleep(PAUSE_MS);
  }
  return times;
}

/** Makes and removes what so many sessions would have left. */
function wearOut(directory: string): void {
  const sessions = join(directory, 'sessions');
  for (let count = 0; count < DELETIONS / 4; count++) {
    const session = join(sessions, String(count));
    mkdirSync(session, { recursive: true });
    for (const name of ['stdout', 'stderr', 'meta.json']) closeSync(openSync(join(session, name), 'w'));
  }
  rmSync(sessions, { recursive: true });
}
