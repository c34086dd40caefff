import { describe, expect, test } from 'bun:test';
import { chmodSync, writeFileSync } from 'node:fs';
import { writeWall } from '../../src/sandbox/write-wall.ts';
import { TemporaryDirectory } from '../helpers/directories.ts';

describe('the program that lets a command open nothing but its own for writing', () => {
  test.each([
    ['x64', 62],
    ['arm64', 183],
  ])('is an executable for %s', (architecture, machine) => {
    const program = Buffer.from(writeWall(architecture) ?? []);
    expect(program.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    expect(program.readUInt16LE(18)).toBe(machine);
    expect(program.toString('latin1')).toEndWith('/dev\0/tmp\0/var/tmp\0/run\0\0');
    expect(program.length).toBeLessThan(512);
  });

  test('is not there for another processor', () => {
    expect(writeWall('s390x')).toBeUndefined();
  });

  test.skipIf(writeWall() === undefined)('becomes its words, with their environment', () => {
    using directory = new TemporaryDirectory();
    const path = directory.join('wall');
    writeFileSync(path, writeWall() ?? '');
    chmodSync(path, 0o755);
    const script = 'echo "$VALUE $1 $#"; echo x > /dev/null; exit 7';
    const ran = Bun.spawnSync([path, '/bin/sh', '-c', script, 'sh', 'a b', ''], { env: { VALUE: 'seen' } });
    expect({ code: ran.exitCode, out: ran.stdout.toString() }).toEqual({ code: 7, out: 'seen a b 2\n' });
    expect(Bun.spawnSync([path, '/nonexistent']).exitCode).toBe(126);
    expect(Bun.spawnSync([path]).exitCode).toBe(126);
  });
});
