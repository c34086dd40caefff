import { expect, test } from 'bun:test';
import { closeSync, existsSync, fstatSync, writeSync } from 'node:fs';
import { openSocketPair } from '../../src/linux/descriptors.ts';
import { AGENT_GONE, hasBegun, markBeginning, openStatus } from '../../src/process/beginning.ts';
import { Descriptors } from '../../src/process/start.ts';

const SHELLS = ['/bin/sh', '/bin/bash', '/bin/dash'].filter((path) => existsSync(path));
const SIGPIPE_BIT = 1 << 12;

/** Runs the lines that report a beginning before a command, with the agent's end of the socket open or closed. */
async function begin(shell: string, isAgentThere: boolean) {
  const pair = openSocketPair();
  if (pair === undefined) throw new Error('no sockets');
  if (!isAgentThere) closeSync(pair.reading);
  const script = `${markBeginning(3)}\ngrep SigIgn /proc/self/status; exit 5`;
  const child = Bun.spawn([shell, '-c', script], { stdio: ['ignore', 'pipe', 'pipe', pair.writing] });
  closeSync(pair.writing);
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const told = isAgentThere && hasBegun(pair.reading);
  if (isAgentThere) closeSync(pair.reading);
  return { code, stdout, stderr, told };
}

test.each(SHELLS)('%s reports to the agent that a command has begun, which takes signals as before', async (shell) => {
  const { code, stdout, stderr, told } = await begin(shell, true);
  expect({ code, stderr, told }).toEqual({ code: 5, stderr: '', told: true });
  const ignored = Number.parseInt(/SigIgn:\s*([0-9a-f]+)/.exec(stdout)?.[1] ?? '', 16);
  expect(ignored & SIGPIPE_BIT).toBe(0);
});

test.each(SHELLS)('%s runs nothing when the agent is gone, and says so', async (shell) => {
  expect(await begin(shell, false)).toEqual({ code: 126, stdout: '', stderr: `${AGENT_GONE}\n`, told: false });
});

const isRoot = process.geteuid?.() === 0;

test.skipIf(!isRoot)('of a sandbox of root, what bwrap reports is read where no other user can write', () => {
  using descriptors = new Descriptors();
  const status = openStatus(descriptors, true);
  const { information = -1 } = status;
  expect(fstatSync(information).mode & 0o777).toBe(0o600);
  expect(status.init()).toBeUndefined();
  writeSync(information, '{\n    "child-pid": 6989,\n    "mnt-namespace": 4026532178\n}\n');
  expect([status.init(), status.init(), status.hasBegun()]).toEqual([6989, 6989, false]);
  writeSync(status.writing, '0m0.00s');
  expect(status.hasBegun()).toBe(true);
});

test('without a sandbox there is nothing to read', () => {
  using descriptors = new Descriptors();
  const status = openStatus(descriptors, false);
  expect([status.information, status.init(), status.kept.length]).toEqual([undefined, undefined, 1]);
});
