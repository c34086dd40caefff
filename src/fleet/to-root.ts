import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMoved, type OrderResult } from '../console/order.ts';
import { delay } from '../lib/clock.ts';
import { errnoOf } from '../lib/errors.ts';
import { readPlain } from '../lib/files.ts';

/** Root needs some seconds on a very busy machine. */
const ROOT_MS = 15_000;
const LOOK_MS = 50;
/** A command of the agent's user may remove the file, so the agent writes it again after this. */
const AGAIN_MS = 1000;

/** The directories where the agent leaves orders of the hub for root, and where root answers. */
export interface RootsDoor {
  /** `AGENT3_HUB_ORDERS_DIR`. */
  readonly directory: string;
  /** `AGENT3_CONSOLE_ANSWERS`. */
  readonly answers: string;
}

/** Leaves a message of the hub for root and waits for the result of its order. Rejects with the error of the system. */
export async function leaveForRoot(door: RootsDoor, id: string, message: Uint8Array): Promise<OrderResult> {
  const path = join(door.directory, `${id}.json`);
  const text = JSON.stringify({ envelope: Buffer.from(message).toString('base64') });
  const until = performance.now() + ROOT_MS;
  try {
    for (let leftAt = Number.NEGATIVE_INFINITY; performance.now() < until; await delay(LOOK_MS)) {
      const result = answerOf(door, id);
      if (result !== undefined) return result;
      if (performance.now() - leftAt < AGAIN_MS) continue;
      leftAt = performance.now();
      makeDirectory(door.directory);
      // The name is random: at a known name, a command could place a pipe that blocks the agent.
      const made = `${path}.${crypto.randomUUID()}`;
      writeFileSync(made, text, { mode: 0o600, flag: 'wx' });
      renameSync(made, path);
    }
    const why =
      'root of the server has not answered. There: systemctl status agent3-hub-obey.path agent3-hub-obey.service';
    return { id, state: 'unknown', why };
  } finally {
    rmSync(path, { force: true });
    void removeMoved(door.directory);
  }
}

/**
 * Removes the directories that root has moved out of the orders: root itself walks through nothing that a command may change
 * meanwhile. What cannot be removed stays until the next order, or the next start of the agent.
 */
export async function removeMoved(directory: string): Promise<void> {
  const outer = dirname(directory);
  const moved = await readdir(outer).catch(() => []);
  for (const name of moved.filter(isMoved))
    await rm(join(outer, name), { recursive: true, force: true }).catch(() => {});
}

/** Creates the directory that root reads. Replaces a file that a command of the agent's user has created there. */
function makeDirectory(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === false) rmSync(path);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

/** Returns the answer of root. A file of another owner does not count. */
function answerOf({ answers }: RootsDoor, id: string): OrderResult | undefined {
  try {
    return readPlain(join(answers, `order-${id}.json`), (fd, { uid }) =>
      uid === 0 ? (JSON.parse(readFileSync(fd, 'utf8')) as OrderResult) : undefined,
    );
  } catch (error) {
    if (error instanceof SyntaxError || errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Runs a process that obeys the order in a message, for an agent that is not a service. */
export async function obeyByOwn(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  id: string,
  message: Uint8Array,
): Promise<OrderResult> {
  const stdin = new Blob([Buffer.from(message).toString('base64')]);
  const child = Bun.spawn([...argv, 'console', 'obey', '--hub', '--order', id], {
    cwd: '/',
    env,
    stdio: [stdin, 'pipe', 'pipe'],
  });
  const [code, told, fault] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (code === 0) return JSON.parse(told) as OrderResult;
  return { id, state: 'refused', why: fault.trim().slice(0, 500) || `agent3 console obey has failed (${code})` };
}
