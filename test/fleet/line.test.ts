import { expect, test } from 'bun:test';
import { Line } from '../../src/fleet/line.ts';

/** A line of so many bytes a second. Returns its steps: their bytes, and how many were on their way. */
async function carried(bytesPerSecond: number, transfers: number, bytes: number) {
  let now = 0;
  let under = 0;
  const steps: { length: number; under: number }[] = [];
  const line = new Line(() => now);
  const transfer = async (): Promise<void> => {
    for (let left = bytes; left > 0; )
      left -= await line.carry(Math.min(left, 524_288), async (length) => {
        under += length;
        steps.push({ length, under });
        await Bun.sleep(0);
        now += (length / bytesPerSecond) * 1000;
        under -= length;
        return length;
      });
  };
  await Promise.all(Array.from({ length: transfers }, transfer));
  return steps;
}

test('a quick line soon carries whole pieces, of several files at once', async () => {
  const steps = await carried(100_000_000, 8, 5_000_000);
  expect(steps[0]?.length).toBe(65_536);
  expect(Math.max(...steps.map(({ length }) => length))).toBe(524_288);
  expect(Math.max(...steps.map(({ under }) => under))).toBeGreaterThan(1_500_000);
});

test.each([30_000, 150_000, 1_000_000])(
  'a line of %d bytes a second has less than two seconds of bytes',
  async (rate) => {
    const steps = await carried(rate, 10, 1_000_000);
    const seconds = steps.slice(20).map(({ under }) => under / rate);
    expect(Math.max(...seconds)).toBeLessThan(1.5);
    expect(steps.reduce((sum, { length }) => sum + length, 0)).toBe(10_000_000);
  },
);
