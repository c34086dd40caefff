import { expect, test } from 'bun:test';
import { findWait } from '../../src/diagnosis/waiting.ts';
import { eventually } from '../helpers/waiting.ts';

test('one of many that share a CPU is busy, however little it gets of it', async () => {
  const loops = Array.from({ length: 8 }, () =>
    Bun.spawn(['taskset', '-c', '0', 'sh', '-c', 'while :; do :; done'], { stdio: ['ignore', 'ignore', 'ignore'] }),
  );
  try {
    const pid = loops[0]?.pid ?? 0;
    // It takes a while to begin.
    const wait = await eventually('it is seen to be busy', () => findWait([pid], undefined, async () => {}));
    expect(wait).toMatchObject({ kind: 'cpu', process: { pid } });
  } finally {
    for (const loop of loops) loop.kill('SIGKILL');
  }
});
