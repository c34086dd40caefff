import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { type ApprovalRequest, digestOf } from '../../../src/access/approval-request.ts';
import { requestText } from '../../../src/access/request-text.ts';
import { hex, newOrder, type Order, sha256 } from '../../../src/console/order.ts';
import type { State } from '../../../src/console/shown.ts';
import { WireClient } from '../../../src/console/wire-client.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { command, ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { sha256 as hashOf, linesOf, noteOf, type RecordLine, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms('setpriv').length === 0;
const AGENT_USER = 64_000;
/** Makes a user the owner of the directories of an agent, and runs it as that user. */
const BECOME = 'chown "$0:$0" . "$AGENT3_SESSIONS_DIR"; exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';
const CAREFUL = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';

describe.skipIf(!canTry)('an order of the console', () => {
  const place = new TemporaryDirectory();
  const files = new ConsoleFiles(undefined, AGENT_USER);
  const APPROVALS = place.join('approvals');
  const AUDIT = place.join('audit/audit.jsonl');
  let agent: Agent;

  beforeAll(async () => {
    chmodSync(place.path, 0o755);
    for (const name of ['profiles.d', 'approvals', 'audit']) mkdirSync(place.join(name), { mode: 0o755 });
    chownSync(place.join('audit'), AGENT_USER, AGENT_USER);
    writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
    await files.pin();
    const settings = {
      ...files.settings,
      AGENT3_APPROVALS_DIR: APPROVALS,
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_PROFILE: 'careful',
      AGENT3_AUDIT_FILE: AUDIT,
    };
    agent = await startAgent(settings, ['sh', '-c', BECOME, String(AGENT_USER)]);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
    place[Symbol.dispose]();
  });

  /** Asks for a command that needs approval; returns its session, and the digest that the page computes. */
  const ask = async (cmd = 'rm -f /tmp/agent3-none; echo ran') => {
    const { session, status } = await agent.shell({ cmd });
    expect(status).toBe('waiting');
    return { session: String(session), digest: digestOf(requestOf(String(session))) };
  };
  const requestPath = (session: string): string => `${agent.sessionsDir}/.approvals/${session}.json`;
  const requestOf = (session: string) => JSON.parse(readFileSync(requestPath(session), 'utf8')) as ApprovalRequest;
  const statusOf = async (session: string, wait = 0) => (await agent.read({ session, wait })).status;
  const ended = (session: string) =>
    eventually('it has ended', async () => {
      const answer = await agent.read({ session, wait: 5 });
      return answer.status !== 'waiting' && answer.status !== 'running' && answer;
    });
  const onRecord = (what: string, matches: (line: RecordLine) => boolean) =>
    eventually(what, () => linesOf(AUDIT).find(matches));
  /** Why the agent has refused an order. */
  const refusal = async (order: string): Promise<string> =>
    String((await onRecord('the refusal', (line) => line['order'] === order && 'refused' in line))['refused']);
  const deny = (session: string, digest: string) => files.leave({ kind: 'deny', session, digest, why: '' });

  test('approves with the signature of a pinned passkey, which is on record and can be checked', async () => {
    const { session, digest } = await ask();
    const order = await files.leaveSigned({ kind: 'approve', session, digest });
    expect(await ended(session)).toMatchObject({ status: 'done', stdout: 'ran\n' });
    const { fingerprint, public_key } = await files.phone.passkey();
    const by = `Pixel 9 (passkey ${fingerprint})`;
    const line = await onRecord('the approval', (one) => one['decision'] === 'approved' && one['session'] === session);
    expect(line).toMatchObject({ by, digest, signed: { order: { id: order, digest }, passkey: { public_key } } });
    expect(linesOf(AUDIT).find((one) => one['event'] === 'start' && one['session'] === session)).toMatchObject({
      approved_by: by,
    });
  });

  test('approves several with one signature, each on record with it, and no other one', async () => {
    const asked = [await ask(), await ask(), await ask()];
    const orders = asked.map((one): Order => ({ ...newOrder(), kind: 'approve', ...one }));
    const assertion = await files.phone.signAll(orders);
    for (const order of orders) files.leave(order, { assertion });
    for (const { session } of asked) {
      expect((await ended(session)).status).toBe('done');
      const line = await onRecord('the approval', (one) => 'signed' in one && one['session'] === session);
      expect(line).toMatchObject({ decision: 'approved', signed: { assertion: { among: assertion.among } } });
    }
    expect(await verify(AUDIT)).toMatchObject({ code: 0 });
    const other = await ask();
    expect(await refusal(files.leave({ kind: 'approve', ...other }, { assertion }))).toContain('not among');
    expect(await statusOf(other.session)).toBe('waiting');
    deny(other.session, other.digest);
    expect((await ended(other.session)).status).toBe('denied');
  });

  test('approves what the console has read and the page has shown, and the console hears what became of it', async () => {
    const { AGENT3_CONSOLE_SOCKET: socket, AGENT3_CONSOLE_KEY: key } = files.settings;
    const wire = new WireClient(socket, key);
    try {
      const { session } = await ask();
      const state = (await wire.request('state', {})) as State;
      expect(state).toMatchObject({ development: false, waiting: [expect.objectContaining({ session })] });
      const { text } = (await wire.request('request', { session, from: 0 })) as { text: string };
      const digest = hex(await sha256(requestText(JSON.parse(text))));
      const id = await files.leaveSigned({ kind: 'approve', session, digest });
      expect(await wire.request('order', { id, wait_ms: 10_000 })).toEqual({ id, state: 'done' });
      expect((await ended(session)).status).toBe('done');
      const late = await files.leaveSigned({ kind: 'approve', session, digest });
      expect(await wire.request('order', { id: late, wait_ms: 10_000 })).toEqual({
        id: late,
        state: 'refused',
        why: 'it does not wait any more',
      });
      const none = crypto.randomUUID();
      expect(await wire.request('order', { id: none, wait_ms: 50 })).toEqual({ id: none, state: 'unknown' });
    } finally {
      wire.close();
    }
  });

  test('denies without a signature, and the client reads why', async () => {
    const { session, digest } = await ask();
    files.leave({ kind: 'deny', session, digest, why: 'not today' });
    expect(await ended(session)).toMatchObject({ status: 'denied', stderr: expect.stringContaining('not today') });
    const line = await onRecord('the denial', (one) => one['decision'] === 'denied' && one['session'] === session);
    expect(line).toMatchObject({ by: 'Anna (console)', reason: 'not today' });
    expect(line).not.toHaveProperty('signed');
  });

  test('stops a command, and then all of them', async () => {
    const start = async () => String((await agent.shell({ cmd: 'sleep 1000; true', background: true })).session);
    const [one, two, three] = [await start(), await start(), await start()];
    const waiting = await ask();
    files.leave({ kind: 'stop', session: one });
    expect(await ended(one)).toMatchObject({
      status: 'killed',
      message: expect.stringContaining('because the owner of the server ordered it: Anna (console)'),
    });
    expect(await statusOf(two)).toBe('running');
    const order = files.leave({ kind: 'stop-all' });
    for (const session of [two, three]) expect(await ended(session)).toMatchObject({ status: 'killed' });
    expect(await onRecord('the stop', (line) => line['order'] === order)).toMatchObject({
      kind: 'stop-all',
      sessions: 2,
    });
    expect(await refusal(files.leave({ kind: 'stop', session: one }))).toContain('nothing of this session runs');
    expect(await statusOf(waiting.session)).toBe('waiting');
    deny(waiting.session, waiting.digest);
    await ended(waiting.session);
  });

  describe('does not approve', () => {
    /** A request that waits, and still waits after the order that `attack` leaves, which is refused with `why`. */
    const resists = async (
      attack: (waiting: { session: string; digest: string }) => Promise<string>,
      why: string,
    ): Promise<void> => {
      const waiting = await ask();
      expect(await refusal(await attack(waiting))).toContain(why);
      expect(await statusOf(waiting.session)).toBe('waiting');
      deny(waiting.session, waiting.digest);
      expect((await ended(waiting.session)).status).toBe('denied');
    };

    test('without a signature', async () => {
      await resists(async (waiting) => files.leave({ kind: 'approve', ...waiting }), 'needs the signature');
    });

    test('by a passkey that a taken console has made for itself', async () => {
      await resists(
        (waiting) => files.leaveSigned({ kind: 'approve', ...waiting }, new Authenticator()),
        'is not linked to this server',
      );
    });

    test('by another key under the id of the pinned passkey', async () => {
      const thief = new Authenticator(files.phone.origin, files.phone.rpId, files.phone.id);
      await resists((waiting) => files.leaveSigned({ kind: 'approve', ...waiting }, thief), 'does not fit');
    });

    test.each([
      ['another origin', { origin: 'http://localhost:9999' }],
      ['another RP id', { rpId: 'example.org' }],
      ['no verified user', { isVerified: false }],
    ])('by an assertion with %s', async (_, use) => {
      await resists(async (waiting) => {
        const order = { ...newOrder(), kind: 'approve', ...waiting } as const;
        return files.leave(order, { assertion: await files.phone.sign(order, use) });
      }, 'its signature does not count');
    });

    test('by the assertion of another order', async () => {
      const other = await ask();
      const signed = { ...newOrder(), kind: 'approve', ...other } as const;
      const assertion = await files.phone.sign(signed);
      await resists(async (waiting) => files.leave({ kind: 'approve', ...waiting }, { assertion }), 'challenge');
      await resists(async (waiting) => files.leave({ ...signed, ...waiting }, { assertion }), 'challenge');
      deny(other.session, other.digest);
      await ended(other.session);
    });

    test('what was not shown: the digest is of another request', async () => {
      await resists(
        ({ session }) => files.leaveSigned({ kind: 'approve', session, digest: 'a'.repeat(64) }),
        'what waits is not what was shown',
      );
    });

    test('by an order with fields that nobody has signed, or of an unknown kind', async () => {
      for (const change of [{ more: 1 }, { kind: 'undo' }, { nonce: 'short' }])
        await resists(async (waiting) => {
          const order = { ...newOrder(), kind: 'approve' as const, ...waiting };
          const assertion = await files.phone.sign(order);
          files.write(order, { order: { ...order, ...change }, by: 'Anna', assertion });
          return order.id;
        }, 'has no order');
    });

    test('by an order that is old, from the future, from before the start of the agent, or was used', async () => {
      const now = Date.now();
      for (const [at, why] of [
        [now - 121_000, 'older than 2 minutes'],
        [now + 60_000, 'from the future'],
      ] as const)
        await resists((waiting) => files.leaveSigned({ kind: 'approve', at, ...waiting }), why);
      const { nonce } = newOrder();
      await refusal(files.leave({ kind: 'stop', session: crypto.randomUUID(), nonce }));
      await resists((waiting) => files.leaveSigned({ kind: 'approve', nonce, ...waiting }), 'nonce was used');
    });
  });

  test('of two people at once: the denial counts, whichever comes first in the directory', async () => {
    const { session, digest } = await ask();
    agent.signal('SIGSTOP');
    await files.leaveSigned({ kind: 'approve', session, digest });
    deny(session, digest);
    await files.leaveSigned({ kind: 'approve', session, digest });
    agent.signal('SIGCONT');
    expect((await ended(session)).status).toBe('denied');
  });

  test('and a decision of root at once: the denial counts', async () => {
    const decide = async (session: string, verdict: 'approve' | 'deny', digest: string): Promise<void> =>
      writeFileSync(`${APPROVALS}/${session}.json`, JSON.stringify({ session, digest, verdict, why: '', by: 'root' }));
    const one = await ask();
    agent.signal('SIGSTOP');
    await decide(one.session, 'deny', one.digest);
    await files.leaveSigned({ kind: 'approve', ...one });
    agent.signal('SIGCONT');
    expect((await ended(one.session)).status).toBe('denied');
    const two = await ask();
    agent.signal('SIGSTOP');
    await decide(two.session, 'approve', two.digest);
    deny(two.session, two.digest);
    agent.signal('SIGCONT');
    expect((await ended(two.session)).status).toBe('denied');
  });

  test('of two people who approve at once runs the command once', async () => {
    const file = place.join('audit/count');
    const { session, digest } = await ask(`rm -f x; echo ran >> ${file}`);
    const orders = await Promise.all([1, 2].map(() => files.leaveSigned({ kind: 'approve', session, digest })));
    expect((await ended(session)).status).toBe('done');
    const refused = await onRecord('the second', (line) => 'refused' in line && orders.includes(String(line['order'])));
    expect(refused['refused']).toBe('it does not wait any more');
    expect(readFileSync(file, 'utf8')).toBe('ran\n');
  });

  test('does not run what was changed on the disk after it was shown', async () => {
    const { session, digest } = await ask();
    agent.signal('SIGSTOP');
    writeFileSync(requestPath(session), JSON.stringify({ ...requestOf(session), cmd: 'echo other' }));
    await files.leaveSigned({ kind: 'approve', session, digest });
    agent.signal('SIGCONT');
    expect(await ended(session)).toMatchObject({
      status: 'denied',
      message: expect.stringContaining('somebody has changed or removed the request'),
    });
  });

  describe('of a hostile command, which runs as the user of the agent,', () => {
    const run = (cmd: string) => agent.shell({ cmd });

    test('is not written, nor is a passkey pinned or a directory put in place of another', async () => {
      const { stdout } = await run(
        `cd ${files.directory}; id -u
        for target in orders/x root-orders/x x ${files.passkeysFile} ${files.answers} ${APPROVALS}/x; do
          (echo '{}' > $target) 2>/dev/null && echo wrote $target; done
        mv orders elsewhere 2>/dev/null && echo moved; mkdir orders/x 2>/dev/null && echo made
        unlink orders/* 2>/dev/null && echo removed; chmod 777 orders 2>/dev/null && echo opened; true`,
      );
      expect(stdout).toBe(`${AGENT_USER}\n`);
    });

    test('is not signed with the key of the console, which it cannot read', async () => {
      const { stdout } = await run(`env; tr '\\0' '\\n' < /proc/${agent.pid}/environ; cat /proc/$PPID/environ; true`);
      expect(stdout).toContain('AGENT3_SESSION');
      expect(stdout).not.toContain(files.settings.AGENT3_CONSOLE_KEY);
    });

    test('has no effect where its file belongs to somebody else than the console', async () => {
      const { session, digest } = await ask();
      const order = { ...newOrder(), kind: 'deny', session, digest, why: '' } as const;
      files.write(order, { order, by: 'x' }, AGENT_USER);
      expect(await refusal(order.id)).toContain(
        `belongs to the user with the number ${AGENT_USER}, not to the console`,
      );
      const open = { ...order, ...newOrder() };
      agent.signal('SIGSTOP');
      chmodSync(files.write(open, { order: open, by: 'x' }), 0o666);
      agent.signal('SIGCONT');
      expect(await refusal(open.id)).toBe('others than the console may write to its file');
      expect(await statusOf(session)).toBe('waiting');
      deny(session, digest);
      await ended(session);
    });

    test('cannot be a link, a pipe, a directory or a huge file', async () => {
      const path = (id: string): string => `${files.directory}/orders/${id}.json`;
      const { session, digest } = await ask();
      const deny = { ...newOrder(), kind: 'deny', session, digest, why: '' } as const;
      const target = place.join('target.json');
      const content = JSON.stringify({ order: deny, by: 'x' });
      writeFileSync(target, content);
      chownSync(target, files.owner, files.group);
      symlinkSync(target, path(deny.id));
      expect(await refusal(deny.id)).toContain('cannot be read');
      const [pipe, directory, huge] = [newOrder().id, newOrder().id, newOrder().id] as const;
      command(['mkfifo', path(pipe)]);
      expect(await refusal(pipe)).toBe('it is not a file');
      mkdirSync(path(directory));
      expect(await refusal(directory)).toBe('it is not a file');
      files.write({ id: huge, kind: 'deny' }, `${content}${' '.repeat(70_000)}`);
      expect(await refusal(huge)).toBe('its file is too large');
      expect(await statusOf(session)).toBe('waiting');
      files.leave({ kind: 'deny', session, digest, why: '' });
      await ended(session);
      for (const id of [deny.id, pipe, directory, huge]) rmSync(path(id), { recursive: true });
    });
  });

  test('is not obeyed again by an agent that was restarted', async () => {
    const { session, digest } = await ask();
    await agent.stop();
    const order = await files.leaveSigned({ kind: 'approve', session, digest });
    const stop = files.leave({ kind: 'stop-all' });
    await agent.restart();
    for (const id of [order, stop]) expect(await refusal(id)).toContain('from before the start of the agent');
  });

  test('does not count in a directory that others may write to', async () => {
    const { session, digest } = await ask();
    chmodSync(files.directory, 0o770);
    deny(session, digest);
    await agent.log.find('the warning', (line) => String(line['fault']).includes('others than its owner may write to'));
    expect(await statusOf(session)).toBe('waiting');
    chmodSync(files.directory, 0o750);
    expect((await ended(session)).status).toBe('denied');
  });

  test('does not count with a passkey that the user of the agent has pinned', async () => {
    const waiting = await ask();
    chownSync(files.passkeysFile, AGENT_USER, AGENT_USER);
    const order = await files.leaveSigned({ kind: 'approve', ...waiting });
    expect(await refusal(order)).toContain(`has to be root's: chown root ${files.passkeysFile}`);
    chownSync(files.passkeysFile, 0, 0);
    await files.leaveSigned({ kind: 'approve', ...waiting });
    expect((await ended(waiting.session)).status).toBe('done');
  });

  test('leaves a record whose signatures can be checked, by their number and passkey', async () => {
    const { fingerprint } = await files.phone.passkey();
    const approved = linesOf(AUDIT).filter((line) => line['signed'] !== undefined).length;
    expect(await verify(AUDIT)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`orders signed by passkeys: ${approved} by Pixel 9 (passkey ${fingerprint})`),
    });
    // The agent would not have written it.
    await agent.stop();
    const thief = new Authenticator();
    const line = linesOf(AUDIT).find((one) => one['decision'] === 'approved');
    const signed = { ...(line?.['signed'] as object), assertion: thief.assert('x') };
    const last = textOf(AUDIT).at(-1) ?? '';
    const seq = Number(JSON.parse(last).seq) + 1;
    const forged = JSON.stringify({ ...line, seq, signed, prev: hashOf(last) });
    appendFileSync(AUDIT, `${forged}\n`);
    writeFileSync(`${AUDIT}.head`, noteOf(forged, 1));
    expect(await verify(AUDIT)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('the signature of a passkey does not fit'),
    });
  });
});

test.skipIf(!canTry)(
  'a directory of orders that belongs to the user of a service counts for nothing; in development it does',
  async () => {
    using place = new TemporaryDirectory();
    using files = new ConsoleFiles(AGENT_USER);
    chmodSync(place.path, 0o755);
    const settings = { ...files.settings, NOTIFY_SOCKET: '/nonexistent' };
    await using agent = await startAgent(settings, ['sh', '-c', BECOME, String(AGENT_USER)]);
    const { session } = await agent.shell({ cmd: 'sleep 1000; true', background: true });
    files.leave({ kind: 'stop-all' });
    await agent.log.find('the warning', (line) => String(line['fault']).includes('it proves nothing'));
    expect((await agent.read({ session })).status).toBe('running');
    await agent.restart({ NOTIFY_SOCKET: '' });
    files.leave({ kind: 'stop-all' });
    await eventually('it is stopped', async () => (await agent.read({ session })).status !== 'running');
  },
);
