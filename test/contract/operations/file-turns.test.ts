import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { ensurePrograms } from '../../helpers/debian.ts';
import { FileDesk } from '../../helpers/file-desk.ts';

const missing = ensurePrograms('bwrap');

describe.skipIf(missing.length > 0)('changes of one path, while all slots are taken,', () => {
  const desk = new FileDesk('the user of the tests');
  beforeAll(() =>
    desk.start({ full: '', work: 'extends = "workspace"\ndirectory = "WORK"\n' }, { AGENT3_MAX_RUNNING: '1' }),
  );
  afterAll(() => desk[Symbol.asyncDispose]());

  test('are refused together: none waits for its slot behind the others', async () => {
    const path = desk.put('held', 'old');
    const { session } = await desk.call('full', 'shell', { cmd: 'sleep 300', background: true });
    const began = performance.now();
    const answers = await Promise.all(
      [1, 2, 3, 4].map((number) => desk.call('work', 'write_file', { path, content: `${number}` })),
    );
    const took = performance.now() - began;
    for (const answer of answers)
      expect(answer).toMatchObject({ http: 429, message: expect.stringContaining('Repeat the call in 2 seconds') });
    // 5 s each, one after the other, would be 20 s.
    expect(took).toBeLessThan(15_000);
    // Who needs no slot is not held up by them.
    const waiting = desk.call('work', 'write_file', { path, content: 'late' });
    const other = desk.put('other', 'old');
    expect(await desk.call('full', 'write_file', { path: other, content: 'new' })).toMatchObject({ http: 200 });
    await desk.call('full', 'close_session', { session });
    expect(await waiting).toMatchObject({ http: 200 });
  }, 60_000);
});
