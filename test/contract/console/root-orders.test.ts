import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { currentFreeze, readFreezes } from '../../../src/access/freeze.ts';
import { type ObeyDeps, obeyOrders } from '../../../src/console/obey.ts';
import { newOrder, type OrderResult } from '../../../src/console/order.ts';
import { startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { CONSOLE_USER, ConsoleFiles } from '../../helpers/console.ts';
import { command } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { HOSTS } from '../../helpers/oauth-host.ts';
import { linesOf, verify } from '../../helpers/record.ts';
import { SignInAgent } from '../../helpers/sign-in.ts';
import { eventually } from '../../helpers/waiting.ts';

describe.skipIf(process.geteuid?.() !== 0)('agent3 console obey', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles();
  const APPROVALS = place.join('approvals');
  const env = { ...files.settings, AGENT3_APPROVALS_DIR: APPROVALS, AGENT3_TOKENS_FILE: place.join('tokens.json') };
  const rootOrders = `${files.directory}/root-orders`;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    mkdirSync(APPROVALS, { mode: 0o755 });
    await files.pin();
  });
  afterAll(() => {
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  const obey = () => agent3(['console', 'obey'], env);
  const frozen = () => currentFreeze(readFreezes(APPROVALS));
  const answerOf = (id: string) => JSON.parse(readFileSync(`${files.answers}/order-${id}.json`, 'utf8')) as OrderResult;
  /** What becomes of an order that was left. */
  const obeyed = async (id: string): Promise<OrderResult> => {
    const { code, stderr } = await obey();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(readdirSync(rootOrders)).toEqual([]);
    return answerOf(id);
  };
  const freeze = (reason = 'x') => obeyed(files.leave({ kind: 'freeze', reason }));
  const thaw = async () => obeyed(await files.leaveSigned({ kind: 'thaw', since: frozen()?.since ?? 0 }));

  test('freezes by file ownership, and thaws by a signature, which is kept for the record', async () => {
    const id = files.leave({ kind: 'freeze', reason: 'I look at the backup' });
    expect(await obeyed(id)).toEqual({ id, state: 'done' });
    expect(frozen()).toMatchObject({ by: 'Anna (console)', reason: 'I look at the backup' });
    expect(statSync(`${files.answers}/order-${id}.json`).mode & 0o777).toBe(0o644);
    expect(await thaw()).toMatchObject({ state: 'done' });
    expect(frozen()).toBeUndefined();
    const { fingerprint } = await files.phone.passkey();
    expect(readFreezes(APPROVALS).at(-1)).toMatchObject({
      thawed_by: `Pixel 9 (passkey ${fingerprint})`,
      thaw_signed: { order: { kind: 'thaw' }, passkey: { id: files.phone.id } },
    });
  });

  test('freezes by an order that could not be obeyed for a while, but not after a thaw, nor after an hour', async () => {
    const late = (minutes: number) => files.leave({ kind: 'freeze', reason: 'x', at: Date.now() - minutes * 60_000 });
    expect(await obeyed(late(61))).toMatchObject({ state: 'refused', why: 'it is older than 60 minutes' });
    // The freeze of the test before ended just now.
    expect(await obeyed(late(10))).toMatchObject({ state: 'refused', why: 'the server was thawed since' });
    expect(frozen()).toBeUndefined();
    rmSync(`${APPROVALS}/frozen`);
    expect(await obeyed(late(10))).toMatchObject({ state: 'done' });
    expect(frozen()).toBeDefined();
    expect(await thaw()).toMatchObject({ state: 'done' });
  });

  describe('does not thaw', () => {
    const resists = async (id: string, why: string): Promise<void> => {
      expect(await obeyed(id)).toMatchObject({ state: 'refused', why: expect.stringContaining(why) });
      expect(frozen()).toBeDefined();
    };
    const since = (): number => frozen()?.since ?? 0;

    beforeAll(() => freeze());
    afterAll(() => thaw());

    test('without a signature, or with that of a passkey which a taken console has made for itself', async () => {
      await resists(files.leave({ kind: 'thaw', since: since() }), 'needs the signature');
      await resists(await files.leaveSigned({ kind: 'thaw', since: since() }, new Authenticator()), 'is not linked');
    });

    test('another freeze than that which was signed', async () => {
      await resists(await files.leaveSigned({ kind: 'thaw', since: since() - 1 }), 'another one has begun');
    });

    test('with the assertion of an approval', async () => {
      const approve = { ...newOrder(), kind: 'approve', session: newOrder().id, digest: 'a'.repeat(64) } as const;
      const assertion = await files.phone.sign(approve);
      await resists(files.leave({ kind: 'thaw', since: since() }, { assertion }), 'challenge');
    });

    test('by an order that is old', async () => {
      const at = Date.now() - 121_000;
      await resists(await files.leaveSigned({ kind: 'thaw', since: since(), at }), 'older than 2 minutes');
    });

    test('for a command as the user of an agent, whatever it writes or runs', async () => {
      const binary = place.join('agent3');
      copyFileSync(BINARY, binary);
      const script = `for target in ${rootOrders}/x ${files.answers}/x ${APPROVALS}/frozen; do
          (echo '{"freezes":[]}' > $target) 2>/dev/null && echo wrote; mv $target $target.x 2>/dev/null && echo moved; done
        mkdir ${files.directory}/root-orders/x 2>/dev/null && echo made; mv ${rootOrders} ${rootOrders}.x 2>/dev/null && echo moved
        ${binary} thaw; ${binary} console obey; ${binary} freeze; true`;
      const { stdout, stderr } = Bun.spawnSync(
        ['setpriv', '--reuid=64000', '--regid=64000', '--clear-groups', 'sh', '-c', script],
        {
          env: { ...BASE_ENVIRONMENT, ...env },
        },
      );
      expect(stdout.toString()).toBe('');
      expect(stderr.toString().match(/only root/g)).toBeArrayOfSize(3);
      expect(frozen()).toBeDefined();
    });

    test('by a signature from before somebody froze it again', async () => {
      const early = { ...newOrder(), kind: 'thaw', since: since() } as const;
      const assertion = await files.phone.sign(early);
      await freeze('again');
      await resists(files.leave(early, { assertion }), 'frozen the server again');
    });

    test('while somebody freezes', async () => {
      const other = files.leave({ kind: 'freeze', reason: '' });
      await resists(await files.leaveSigned({ kind: 'thaw', since: since() }), 'at the same time');
      expect(answerOf(other).state).toBe('done');
    });
  });

  test('does not do again what it has answered, whatever the console lays there', async () => {
    const order = { ...newOrder(), kind: 'freeze', reason: '' } as const;
    files.leave(order);
    await obeyed(order.id);
    await thaw();
    files.leave(order);
    await obeyed(order.id);
    expect(frozen()).toBeUndefined();
  });

  test('revokes a token of this name and id, and no later one', async () => {
    await agent3(['token', 'create', 'reports', '--profile', 'readonly'], env);
    const tokens = () => JSON.parse(readFileSync(env.AGENT3_TOKENS_FILE, 'utf8')).tokens as { id: string }[];
    const [{ id: made } = { id: '' }] = tokens();
    const other = files.leave({ kind: 'revoke', token: 'reports', made: '00000000' });
    expect(await obeyed(other)).toMatchObject({ state: 'refused', why: expect.stringContaining('there is no token') });
    expect(tokens()).toBeArrayOfSize(1);
    const order = files.leave({ kind: 'revoke', token: 'reports', made });
    expect((await obey()).stdout).toBe(`${order}, revoke reports, Anna (console): done\n`);
    expect(answerOf(order)).toEqual({ id: order, state: 'done' });
    expect(tokens()).toEqual([]);
    const own = files.leave({ kind: 'revoke', token: 'default', made });
    expect(await obeyed(own)).toMatchObject({ state: 'refused', why: expect.stringContaining('AGENT3_API_TOKEN') });
  });

  test('does not obey what is for the agent', async () => {
    const order = { ...newOrder(), kind: 'stop-all' } as const;
    writeFileSync(`${rootOrders}/${order.id}.json`, JSON.stringify({ order, by: 'x' }));
    chownSync(`${rootOrders}/${order.id}.json`, CONSOLE_USER, CONSOLE_USER);
    expect(await obeyed(order.id)).toMatchObject({ state: 'refused', why: expect.stringContaining('for the agent') });
  });

  test('does not obey a file of another user, a link, a pipe, a directory or a huge file, and removes them alone', async () => {
    const order = { ...newOrder(), kind: 'freeze', reason: '' } as const;
    const [link, pipe, directory, huge] = [newOrder().id, newOrder().id, newOrder().id, newOrder().id] as const;
    files.write(order, { order, by: 'x' }, 64_000);
    const victim = place.join('victim.json');
    writeFileSync(victim, JSON.stringify({ order: { ...order, id: link }, by: 'x' }));
    chownSync(victim, CONSOLE_USER, CONSOLE_USER);
    symlinkSync(victim, `${rootOrders}/${link}.json`);
    command(['mkfifo', `${rootOrders}/${pipe}.json`]);
    mkdirSync(`${rootOrders}/${directory}.json`);
    files.write({ id: huge, kind: 'freeze' }, ' '.repeat(70_000));
    symlinkSync('/etc', `${rootOrders}/stray`);
    await obeyed(order.id);
    for (const id of [order.id, link, pipe, directory, huge]) expect(answerOf(id).state).toBe('refused');
    expect(frozen()).toBeUndefined();
    expect(existsSync(victim)).toBe(true);
    expect(existsSync('/etc/passwd')).toBe(true);
  });

  test('takes away whatever the console lays there, and ends', async () => {
    mkdirSync(`${rootOrders}/full/deep`, { recursive: true });
    mkdirSync(`${rootOrders}/${newOrder().id}.json/deep`, { recursive: true });
    writeFileSync(Buffer.concat([Buffer.from(`${rootOrders}/`), Buffer.from([0xff, 0xfe])]), '');
    expect((await obey()).code).toBe(0);
    expect(readdirSync(rootOrders)).toEqual([]);
  });

  /** Obeys in this process; what freezes is told to `frozenBy`. */
  const obeyHere = ({ frozenBy, ...more }: { readonly frozenBy: string[] } & Partial<ObeyDeps>) =>
    obeyOrders({
      place: { console: files.directory, stranger: undefined },
      answers: files.answers,
      passkeysFile: files.passkeysFile,
      startedAt: undefined,
      tell: () => {},
      actions: {
        freeze: async (_, by) => void frozenBy.push(by),
        lastFreeze: () => undefined,
        thaw: () => {},
        revoke: () => {},
        changeTokens: () => {},
      },
      ...more,
    });

  test('waits for the next order while somebody uses the console, and ends when nobody does', async () => {
    const frozenBy: string[] = [];
    let isUsed = true;
    const over = obeyHere({ frozenBy, isAwaited: () => isUsed });
    for (const count of [1, 2]) {
      files.leave({ kind: 'freeze', reason: '' });
      await eventually(`order ${count} is obeyed`, () => frozenBy.length === count);
      await eventually('it is removed', () => readdirSync(rootOrders).length === 0);
    }
    isUsed = false;
    await over;
  });

  test('stays a while for what it cannot take away, and obeys meanwhile', async () => {
    mkdirSync(`${rootOrders}/mounted`);
    command(['mount', '-t', 'tmpfs', 'tmpfs', `${rootOrders}/mounted`]);
    const told: string[] = [];
    const frozenBy: string[] = [];
    const late = setTimeout(() => void files.leave({ kind: 'freeze', reason: 'late' }), 3000);
    try {
      const began = performance.now();
      await obeyHere({ frozenBy, tell: (line) => told.push(line), stuckMs: 4000 });
      expect(performance.now() - began).toBeGreaterThan(4000);
    } finally {
      clearTimeout(late);
      command(['umount', `${rootOrders}/mounted`]);
      rmdirSync(`${rootOrders}/mounted`);
    }
    expect(frozenBy).toEqual(['Anna (console)']);
    expect(told.filter((line) => line.includes('cannot be removed'))).toEqual([
      'root-orders has entries that are not orders and cannot be removed: 1',
    ]);
  });

  test('follows no link that the console has put in place of its directory', async () => {
    const order = newOrder();
    const victim = `${APPROVALS}/${order.id}.json`;
    writeFileSync(victim, JSON.stringify({ order: { ...order, kind: 'freeze', reason: '' }, by: 'x' }));
    rmSync(rootOrders, { recursive: true });
    symlinkSync(APPROVALS, rootOrders);
    const { code, stderr } = await obey();
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('root-orders cannot be used') });
    expect(existsSync(victim)).toBe(true);
    rmSync(rootOrders);
    // A directory of root's own, moved there by a user who may do so.
    mkdirSync(rootOrders, { mode: 0o750 });
    writeFileSync(`${rootOrders}/${order.id}.json`, '{}');
    expect((await obey()).stderr).toContain('does not belong to the owner');
    expect(readdirSync(rootOrders)).toEqual([`${order.id}.json`]);
    rmSync(`${rootOrders}/${order.id}.json`);
    chownSync(rootOrders, CONSOLE_USER, CONSOLE_USER);
  });

  test('obeys nothing where others may write', async () => {
    const id = files.leave({ kind: 'freeze', reason: '' });
    chmodSync(rootOrders, 0o770);
    expect((await obey()).code).toBe(1);
    expect(existsSync(`${files.answers}/order-${id}.json`)).toBe(false);
    chmodSync(rootOrders, 0o750);
    expect(await obeyed(id)).toMatchObject({ state: 'done' });
    await thaw();
  });

  test('obeys where it cannot answer', async () => {
    const id = files.leave({ kind: 'freeze', reason: '' });
    mkdirSync(`${files.answers}/order-${id}.json.new`);
    const { code, stdout } = await obey();
    expect([code, readdirSync(rootOrders)]).toEqual([0, []]);
    expect(stdout).toContain(`${id} is not answered`);
    expect(frozen()).toBeDefined();
    rmSync(`${files.answers}/order-${id}.json.new`, { recursive: true });
    await thaw();
  });

  test('keeps the last answers alone', async () => {
    for (let count = 0; count < 60; count++) files.write({ id: newOrder().id, kind: 'freeze' }, {});
    await obey();
    expect(readdirSync(files.answers)).toBeArrayOfSize(48);
  });

  describe('by an agent that is no service', () => {
    const answered = (id: string) =>
      eventually('it is answered', () => existsSync(`${files.answers}/order-${id}.json`) && answerOf(id));

    test('not what was ordered before its start', async () => {
      const id = files.leave({ kind: 'freeze', reason: 'by surprise' });
      await using _agent = await startAgent(env);
      expect(await answered(id)).toMatchObject({ state: 'refused', why: 'it is from before the start of the agent' });
      expect(frozen()).toBeUndefined();
    });

    test('without a directory of decisions or a file of tokens: the answer says so at once, the log once', async () => {
      await using agent = await startAgent(files.settings);
      const freezes = files.leave({ kind: 'freeze', reason: '' });
      const revokes = files.leave({ kind: 'revoke', token: 'reports', made: '00000000' });
      expect((await answered(freezes)).why).toContain('Set AGENT3_APPROVALS_DIR to a directory');
      expect((await answered(revokes)).why).toContain('Set AGENT3_TOKENS_FILE');
      await eventually('both are gone', () => readdirSync(rootOrders).length === 0);
      const lines = () => agent.logs.filter(({ order }) => String(order).includes(freezes));
      await eventually('the log has it', () => lines().length > 0);
      expect(lines()).toBeArrayOfSize(1);
    });

    test('revokes a grant: its client is refused within a second, and the record has its end', async () => {
      await using server = await SignInAgent.start(files.settings);
      const { tokens } = await server.signIn(HOSTS.claude, 'phone-chat', '--profile', 'full');
      expect((await server.call(tokens.access)).status).toBe(200);
      const file = JSON.parse(readFileSync(server.settings['AGENT3_TOKENS_FILE'] ?? '', 'utf8'));
      const { id: made } = file.tokens.find(({ name }: { name: string }) => name === 'phone-chat');
      expect(await answered(files.leave({ kind: 'revoke', token: 'phone-chat', made }))).toMatchObject({
        state: 'done',
      });
      await eventually('its client is refused', async () => (await server.call(tokens.access)).status === 401);
      await eventually('its end is on record', () =>
        server.record.some(({ token, what }) => token === `phone-chat#${made}` && what === 'ended'),
      );
    });

    test('a reason why none can be obeyed is in the log once', async () => {
      await using agent = await startAgent(env);
      chmodSync(rootOrders, 0o770);
      const id = files.leave({ kind: 'freeze', reason: '' });
      const lines = () => agent.logs.filter(({ msg }) => String(msg).includes('were not obeyed'));
      await eventually('the log has it', () => lines().length > 0);
      chmodSync(rootOrders, 0o750);
      expect(await answered(id)).toMatchObject({ state: 'done' });
      expect(lines()).toBeArrayOfSize(1);
      await thaw();
    });
  });

  test('is run by an agent that is root and no service; freeze and signed thaw are on record', async () => {
    const audit = place.join('audit.jsonl');
    await using agent = await startAgent({ ...env, AGENT3_AUDIT_FILE: audit });
    const id = files.leave({ kind: 'freeze', reason: 'I look' });
    await eventually('it is frozen', async () => (await agent.call('shell', { cmd: 'true' })).status === 503);
    await eventually('it is answered', () => existsSync(`${files.answers}/order-${id}.json`));
    const order = await files.leaveSigned({ kind: 'thaw', since: frozen()?.since ?? 0 });
    const what = (name: string) => linesOf(audit).find((line) => line['what'] === name);
    const thawed = await eventually('it is thawed', () => what('thawed'));
    expect(what('frozen')).toMatchObject({ by: 'Anna (console)', reason: 'I look' });
    expect(thawed).toMatchObject({ signed: { order: { id: order } } });
    expect(await verify(audit)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('by passkeys: 1 by Pixel 9'),
    });
  });
});

test('only root obeys', async () => {
  using place = new TemporaryDirectory();
  chmodSync(place.path, 0o755);
  const binary = place.join('agent3');
  copyFileSync(BINARY, binary);
  chmodSync(binary, 0o755);
  const nobody = process.geteuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];
  const { exitCode, stderr } = Bun.spawnSync([...nobody, binary, 'console', 'obey'], { env: BASE_ENVIRONMENT });
  expect([exitCode, stderr.toString()]).toEqual([2, 'agent3: only root may do this: sudo agent3 console obey\n']);
});
