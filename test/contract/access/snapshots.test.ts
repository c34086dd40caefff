import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const isRoot = process.geteuid?.() === 0;
const missing = isRoot ? ensurePrograms('bwrap', 'mkfs.btrfs') : [];
const place = `/srv/agent3-btrfs-${process.pid}`;

function run(...argv: string[]): boolean {
  return Bun.spawnSync(argv, { stdio: ['ignore', 'ignore', 'ignore'] }).exitCode === 0;
}

/** A file system of its own, where this machine mounts one. */
const files = new TemporaryDirectory();
const image = files.join('image');
const isMounted =
  isRoot &&
  missing.length === 0 &&
  run('truncate', '-s', '200M', image) &&
  run('mkfs.btrfs', '-q', image) &&
  run('mkdir', '-p', place) &&
  run('mount', '-o', 'loop', image, place);

describe.skipIf(!isMounted)('in a workspace on Btrfs', () => {
  const app = join(place, 'app');
  let agent: Agent;

  beforeAll(async () => {
    chmodSync(place, 0o755);
    for (const path of [app, join(app, 'sub')]) run('btrfs', 'subvolume', 'create', path);
    for (const path of ['key', 'sub/key']) writeFileSync(join(app, path), 'SUPERSECRET\n');
    mkdirSync(files.join('profiles.d'));
    writeFileSync(
      files.join('profiles.d/app.toml'),
      `extends = "workspace"\ndirectory = "${app}"\nhide = ["${app}/key", "${app}/sub/key"]\n`,
    );
    agent = await startAgent({ AGENT3_PROFILES_DIR: files.join('profiles.d'), AGENT3_PROFILE: 'app' });
  });

  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    run('umount', place);
    run('rmdir', place);
    files[Symbol.dispose]();
  });

  test.each([
    ['of a part of it', 'btrfs subvolume snapshot sub copy'],
    ['of all of it', 'btrfs subvolume snapshot . copy'],
    ['that cannot be written to', 'btrfs subvolume snapshot -r sub copy'],
    ['elsewhere in it', 'mkdir -p in; btrfs subvolume snapshot $PWD/sub in/copy'],
  ])('no snapshot %s shows what is hidden', async (_, cmd) => {
    const made = await agent.shell({ cmd });
    expect(made.stderr).toContain('Operation not permitted');
    const { stdout } = await agent.shell({ cmd: 'touch here; cat here key sub/key copy/key in/copy/key; ls' });
    expect(stdout).not.toContain('SUPERSECRET');
    expect(stdout).toContain('here');
  });

  test('a subvolume and a copy that shares its blocks work', async () => {
    const cmd = 'btrfs subvolume create mine && echo x > mine/a && cp --reflink=always mine/a mine/b && cat mine/b';
    expect(await agent.shell({ cmd })).toMatchObject({ exit_code: 0, stdout: expect.stringContaining('x\n') });
  });
});
