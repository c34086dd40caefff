import { describe, expect, test } from 'bun:test';
import { Helper } from '../../src/commands/helper.ts';

/** A script without walls around it. */
function start(script: string): Helper {
  const child = Bun.spawn(['/bin/sh', '-c', script], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  return new Helper({ child, stop: () => {}, hasBegun: () => true, release: () => {} });
}

describe('a script of the agent', () => {
  test('answers, and then returns bytes, however they come', async () => {
    await using helper = start(`printf 'a b\\0'; sleep 0.05; printf 'c'; sleep 0.05; printf '\\0\\0rest'`);
    expect([await helper.answer(), await helper.answer(), await helper.answer()]).toEqual(['a b', 'c', '']);
    expect(await helper.ended()).toBe(0);
    while (await helper.receive());
    expect(helper.received).toBe(4);
    expect([helper.take(3).toString(), helper.take().toString(), helper.take(5).length]).toEqual(['res', 't', 0]);
    expect(await helper.answer()).toBeUndefined();
  });

  test('is ended when its answer has no end, or it complains without end', async () => {
    await using helper = start('yes');
    expect(await helper.answer()).toBeUndefined();
    await helper.ended();
    await using loud = start('yes >&2');
    await loud.ended();
    expect(loud.said.length).toBeLessThan(1_000_000);
  });

  test('reads what it is sent; one that has ended says so by its exit code', async () => {
    await using helper = start('read -r line; printf "%s\\0" "$line"; exit 3');
    await helper.send('one\n');
    expect(await helper.answer()).toBe('one');
    expect(await helper.ended()).toBe(3);
    await helper.send('two\n').catch(() => {});
    helper.close();
  });
});
