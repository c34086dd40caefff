import { describe, expect, test } from 'bun:test';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

/** What a loss of power may leave of the file that a session's record is rewritten in. */
const left: readonly [what: string, damage: (path: string) => void][] = [
  ['is missing', (path) => rmSync(path)],
  ['is empty', (path) => truncateSync(path, 0)],
  ['has NUL bytes', (path) => writeFileSync(path, Buffer.alloc(600))],
  ['is cut in its middle', (path) => truncateSync(path, 200)],
  [
    'is from before it was approved',
    (path) => writeFileSync(path, readFileSync(path, 'utf8').replace('"status":"done"', '"status":"waiting"')),
  ],
  [
    'is half of one and half of another',
    (path) => writeFileSync(path, `${readFileSync(path, 'utf8').slice(0, 300)}{"session":"`),
  ],
];

describe('a key runs nothing again after a loss of power, when the record of its session', () => {
  test.concurrent.each(left)('%s', async (_, damage) => {
    using place = new TemporaryDirectory();
    const ran = place.join('ran');
    await using agent = await startAgent();
    const { session } = await agent.shell({ cmd: `echo ran >> ${ran}`, key: 'once' });
    await agent.kill9();
    damage(join(agent.sessionsDir, session, 'meta.json'));
    await agent.restart();
    const again = await agent.shell({ cmd: `echo ran >> ${ran}`, key: 'once' });
    expect(again).toMatchObject({ session, status: 'lost' });
    expect(again.message).toContain('nothing was run again');
    expect(again.message).not.toContain('another command');
    expect(readFileSync(ran, 'utf8')).toBe('ran\n');
  });
});
