import { afterAll, expect, test } from 'bun:test';
import { openSync, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { waitsForInput } from '../../src/diagnosis/waiting.ts';
import { readStat } from '../../src/linux/proc.ts';
import { hasUnreadInput } from '../../src/linux/unread.ts';
import { Terminal } from '../../src/process/terminal.ts';
import { eventually } from '../helpers/waiting.ts';

const started: { readonly terminal: Terminal; readonly child: Bun.Subprocess }[] = [];
afterAll(() => {
  for (const { terminal, child } of started) {
    child.kill('SIGKILL');
    terminal.release();
  }
});

/** A script in a terminal that does not show what is typed. */
function run(script: string) {
  const terminal = new Terminal({ rows: 24, cols: 80 }, openSync('/dev/null', 'a'));
  const child = Bun.spawn(['bash', '-c', `stty -echo; ${script}`], { terminal: terminal.options() });
  terminal.attach(child.terminal);
  started.push({ terminal, child });
  const { pid } = child;
  const asks = (): boolean => waitsForInput([pid], terminal.what);
  const type = (text: string): number => terminal.write(Buffer.from(text));
  const taken = () =>
    eventually('the terminal has it', () => terminal.what.kind === 'terminal' && !terminal.what.hasUnsent());
  return { pid, asks, type, taken };
}

/** Types as the kernel is told to, not when Bun comes round to it. */
function typeNow(number: number, text: string): void {
  const ends = readdirSync('/proc/self/fd').filter(
    (fd) => linkOf(fd) === '/dev/ptmx' || linkOf(fd) === '/dev/pts/ptmx',
  );
  const end = ends.find((fd) => new RegExp(`^tty-index:\\s+${number}$`, 'm').test(fdinfo(fd)));
  writeSync(Number(end), text);
}

const fdinfo = (fd: string): string => readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

const numberOf = (pid: number): number => readStat(pid)?.terminal ?? -1;
const nameOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'latin1').trim();

test('a program does not wait for what was just typed, wherever that is on its way', async () => {
  for (let round = 0; round < 20; round++) {
    const { pid, asks, type } = run('read -r line; exec sleep 300');
    await eventually('it waits for input', asks);
    if (round % 2 === 0) type('line\n');
    else typeNow(numberOf(pid), 'line\n');
    while (nameOf(pid) !== 'sleep') {
      expect(asks()).toBe(false);
      await Bun.sleep(0);
    }
  }
});

test('a program that waits for more than was typed waits for input', async () => {
  const line = run('read -r line; exec sleep 300');
  await eventually('it waits for a line', line.asks);
  line.type('half a line');
  const bytes = run('stty -icanon min 5; exec dd bs=5 count=1 of=/dev/null status=none');
  await eventually('it waits for five bytes', () => nameOf(bytes.pid) === 'dd' && bytes.asks());
  bytes.type('abc');
  for (const { asks, taken } of [line, bytes]) {
    await taken();
    await eventually('it waits for the rest', asks);
  }
});

test('what a terminal has for its reader is known as soon as it is typed', async () => {
  const { pid, asks } = run('read -r line; read -r line; exec sleep 300');
  await eventually('it waits for input', asks);
  process.kill(pid, 'SIGSTOP');
  await eventually('it is stopped', () => readStat(pid)?.state === 'T');
  const number = numberOf(pid);
  const seen = ['half', ' a line\n'].map((text) => {
    typeNow(number, text);
    return hasUnreadInput(number);
  });
  expect(seen).toEqual([false, true]);
  process.kill(pid, 'SIGCONT');
  await eventually('it waits for the next line', asks);
  process.kill(pid, 'SIGSTOP');
  await eventually('it is stopped', () => readStat(pid)?.state === 'T');
  // An end of input is no byte that FIONREAD would count.
  typeNow(number, '\u0004');
  expect(hasUnreadInput(number)).toBe(true);
  expect(hasUnreadInput(1_000_000)).toBe(false);
});
