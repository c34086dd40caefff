import { describe, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms } from '../../helpers/debian.ts';
import { AGENT_KINDS, type Answered, FileDesk } from '../../helpers/file-desk.ts';
import { eventually } from '../../helpers/waiting.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'perl');
const SECRET = 'SUPERSECRET';

/**
 * Swaps what bears a name with a link, and back, until it is disposed of. After each swap it waits for as long as a check or
 * a use takes: without that, it takes a processor from who is attacked.
 */
function swapping(name: string, target: string): Disposable {
  const child = Bun.spawn(
    [
      'perl',
      '-e',
      'my ($n, $t) = @ARGV; symlink $t, "$n.link"; sub rest { select undef, undef, undef, rand 0.0006 } while (1) { rename $n, "$n.real"; rename "$n.link", $n; rest; rename $n, "$n.link"; rename "$n.real", $n; rest }',
      name,
      target,
    ],
    { stdio: ['ignore', 'ignore', 'ignore'] },
  );
  return { [Symbol.dispose]: () => child.kill('SIGKILL') };
}

/** Whether something is so each of so many times that it is looked at. */
function lasts(times: number, isSo: () => boolean): boolean {
  for (let count = 0; count < times; count++) if (!isSo()) return false;
  return true;
}

describe.skipIf(missing.length > 0).each([...AGENT_KINDS])('of an agent that is %s', (kind) => {
  test('a link that is swapped between check and use leads to nothing that rules keep', async () => {
    await using desk = new FileDesk(kind);
    const kept = desk.place.join('kept');
    mkdirSync(kept);
    writeFileSync(join(kept, 'file'), SECRET);
    if (kind === 'another user') Bun.spawnSync(['chown', '-R', `${desk.owner.uid}:${desk.owner.gid}`, kept]);
    const rules = `[[rules]]\naction = "deny"\nwrites = "${kept}*"\n[[rules]]\naction = "deny"\ncommand = "cat"\narguments = "${kept}*"\n`;
    await desk.start({
      direct: `extends = "full"\n${rules}`,
      held: `extends = "full"\n${rules}[limits]\nfile_mib = 9\n`,
    });
    mkdirSync(join(desk.work, 'dir'));
    desk.put('dir/file', 'mine');
    desk.put('file', 'mine');
    desk.give(join(desk.work, 'dir'));
    const outcomes = new Set<string>();
    const look = ({ http, ...answer }: Answered): void => {
      expect(JSON.stringify(answer)).not.toContain(SECRET);
      outcomes.add(String(http));
    };
    using _file = swapping(join(desk.work, 'file'), join(kept, 'file'));
    using _directory = swapping(join(desk.work, 'dir'), kept);
    for (let round = 0; round < 60; round++) {
      const token = round % 2 === 0 ? 'direct' : 'held';
      for (const path of [join(desk.work, 'file'), join(desk.work, 'dir/file')]) {
        look(await desk.call(token, 'read_file', { path }));
        look(await desk.call(token, 'write_file', { path, content: `round ${round}` }));
      }
      expect(readFileSync(join(kept, 'file'), 'utf8')).toBe(SECRET);
    }
    expect(readdirSync(kept)).toEqual(['file']);
    // Some of them came through, and some met a link.
    expect(outcomes).toContain('200');
    expect(outcomes).toContain('400');
  }, 180_000);

  test("a workspace's links to what is hidden or outside are no way there, in the middle and at the end", async () => {
    await using desk = new FileDesk(kind);
    await desk.start({ work: 'extends = "workspace"\ndirectory = "WORK"\nmask = false' });
    const settings = desk.settings['AGENT3_TOKENS_FILE'] ?? '';
    symlinkSync('/etc', join(desk.work, 'etc'));
    symlinkSync('/etc/shadow', join(desk.work, 'shadow'));
    symlinkSync(desk.place.join('own'), join(desk.work, 'own'));
    symlinkSync(desk.agent.sessionsDir, join(desk.work, 'sessions'));
    const before = readFileSync(settings, 'utf8');
    for (const path of ['etc/shadow', 'shadow', 'own/tokens.json', 'own/new', 'sessions/.lock', 'etc/agent3-test']) {
      const name = join(desk.work, path);
      const answers = [
        await desk.call('work', 'read_file', { path: name }),
        await desk.call('work', 'write_file', { path: name, content: 'x', create_directories: true }),
        await desk.call('work', 'edit_file', { path: name, edits: [{ old: 'root', new: 'toor' }] }),
      ];
      for (const answer of answers) {
        expect({ path, ...answer }).toMatchObject({ http: answer.http === 404 ? 404 : 400 });
        expect(JSON.stringify(answer)).not.toContain('root:');
      }
    }
    expect(readFileSync(settings, 'utf8')).toBe(before);
  });

  test('a token that edits and edits fills its part of the disk and no more; what others may undo stays', async () => {
    await using desk = new FileDesk(kind);
    const limit = 2_000_000;
    await desk.start({ full: '' }, { AGENT3_MAX_SESSIONS_BYTES: String(limit) });
    await desk.addToken('other', 'full');
    await eventually('the new token is known', async () => (await desk.call('other', 'server_info', {})).http === 200);
    const theirs = desk.put('theirs', 'first');
    await desk.call('other', 'write_file', { path: theirs, content: 'second' });
    const path = desk.put('much', 'x'.repeat(100_000));
    for (let count = 0; count < 200; count++)
      expect(await desk.call('full', 'write_file', { path, content: `${count}${'x'.repeat(100_000)}` })).toMatchObject({
        http: 200,
      });
    const versions = join(desk.agent.sessionsDir, '.versions');
    const bytes = (): number =>
      readdirSync(versions)
        .flatMap((token) => readdirSync(join(versions, token)).map((name) => join(versions, token, name)))
        .reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
    await eventually('it is swept', () => bytes() <= limit);
    expect(await desk.call('other', 'undo', { path: theirs })).toMatchObject({ http: 200 });
    expect(readFileSync(theirs, 'utf8')).toBe('first');
    expect(await desk.call('full', 'undo', { path })).toMatchObject({ http: 200 });
  });
});

describe.skipIf(missing.length > 0)('kill -9 of the agent while it adds to a file', () => {
  const work = 'extends = "workspace"\ndirectory = "WORK"\nmask = false\n';

  test.each([
    ['by itself', ''],
    ['by perl', work],
    ['by sh', `${work}hide = ["/usr/bin/perl*"]\n`],
  ])('%s leaves the old file or the new one', async (_how, profile) => {
    await using desk = new FileDesk('the user of the tests');
    const token = profile === '' ? 'full' : 'work';
    await desk.start({ [token]: profile });
    const old = 'an old line\n'.repeat(699_050);
    const content = 'something new '.repeat(74_000);
    const whole = [old, old + content];
    for (let round = 0; round < 4; round++) {
      const path = desk.put(`file${round}`, old);
      const names = readdirSync(desk.work).length;
      let answered: Answered | undefined;
      const call = desk.call(token, 'write_file', { path, content, append: true }).then(
        (answer) => (answered = answer),
        () => {},
      );
      // Until there is a trace of it, in the file or next to it.
      const isUntouched = () => readdirSync(desk.work).length === names && statSync(path).size === old.length;
      while (answered === undefined && lasts(50, isUntouched)) await Bun.sleep(0);
      // In later rounds a little later.
      if (round > 1) await Bun.sleep(round);
      await desk.agent.kill9();
      await call;
      expect(answered?.http ?? 200).toBe(200);
      expect(whole.includes(readFileSync(path, 'utf8'))).toBe(true);
      await desk.agent.restart();
      // What the killed agent had started may end now, and then the call says Conflict.
      await eventually('it is written', async () => {
        const { http } = await desk.call(token, 'write_file', { path, content: 'after' });
        expect(http).toBeOneOf([200, 409]);
        return http === 200;
      });
    }
  });
});

describe.skipIf(!isRoot || missing.length > 0)('on a full disk', () => {
  test.each(['full', 'limited', 'work'])(
    'in %s the old file is whole, and nothing is left next to it',
    async (token) => {
      await using desk = new FileDesk('the user of the tests');
      const small = join(desk.work, 'small');
      mkdirSync(small);
      chmodSync(small, 0o755);
      const mount = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=64k,mode=755 none "$0" && exec "$@"', small];
      const profiles = {
        full: '',
        limited: 'extends = "full"\n[limits]\nfile_mib = 1',
        work: 'extends = "workspace"\ndirectory = "WORK"\nmask = false',
      };
      await desk.start(profiles, {}, mount);
      const path = join(small, 'file');
      expect(await desk.call(token, 'write_file', { path, content: 'old' })).toMatchObject({ http: 200 });
      const refused = await desk.call(token, 'write_file', { path, content: 'x'.repeat(200_000) });
      expect(refused).toMatchObject({ http: 503, message: expect.stringContaining('as it was before') });
      const longer = await desk.call(token, 'write_file', { path, content: 'x'.repeat(200_000), append: true });
      expect(longer).toMatchObject({ http: 503, message: expect.stringContaining('as it was before') });
      expect(await desk.call(token, 'read_file', { path })).toMatchObject({ content: 'old' });
      expect(await desk.call('full', 'shell', { cmd: `ls -A ${small}` })).toMatchObject({ stdout: 'file\n' });
      expect(await desk.call(token, 'undo', { path })).toMatchObject({ removed: true });
    },
  );

  test('a profile that hides perl has its files changed by sh', async () => {
    await using desk = new FileDesk('the user of the tests');
    const work = 'extends = "workspace"\ndirectory = "WORK"\nmask = false\n';
    await desk.start({ hides: `${work}hide = ["/usr/bin/perl*"]\n` });
    const path = desk.put('file', 'one\n');
    expect(await desk.call('hides', 'shell', { cmd: 'perl -e 1' })).not.toMatchObject({ exit_code: 0 });
    const edits = [{ old: 'one', new: 'two' }];
    expect(await desk.call('hides', 'edit_file', { path, edits })).toMatchObject({ http: 200 });
    expect(await desk.call('hides', 'read_file', { path })).toMatchObject({ content: 'two\n' });
  });

  test('a file over the limit of a profile is not written', async () => {
    await using desk = new FileDesk('the user of the tests');
    await desk.start({ limited: 'extends = "full"\n[limits]\nfile_mib = 1' });
    const path = desk.put('file', 'y'.repeat(900_000));
    const refused = await desk.call('limited', 'write_file', { path, content: 'x'.repeat(300_000), append: true });
    expect(refused).toMatchObject({ http: 400, message: expect.stringContaining('the profile of this token allows') });
    expect([statSync(path).size, readdirSync(desk.work)]).toEqual([900_000, ['file']]);
  });
});
