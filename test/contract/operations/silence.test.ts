import { afterAll, describe, expect, test } from 'bun:test';
import { startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { eventually } from '../../helpers/waiting.ts';

const agent = await startAgent();
afterAll(() => agent[Symbol.asyncDispose]());

/** Long enough for a command to count as silent; on a busy machine it may need longer to come to what it waits for. */
const TIMEOUTS = [2.5, 5, 10];

/** What is told of a command that was silent until its limit: it comes to be `expected`. */
async function expectTold(cmd: string, expected: RegExp | string): Promise<readonly string[]> {
  let told = '';
  for (const timeout of TIMEOUTS) {
    const { status, message = '' } = await agent.shell({ cmd, timeout });
    expect(status).toBe('timeout');
    told = message;
    const found = typeof expected === 'string' ? told.includes(expected) && [expected] : expected.exec(told);
    if (found !== false && found !== null) return found;
  }
  throw new Error(`it said ${told}, not ${expected}`);
}

describe('of a command that was silent until its limit, the answer tells', () => {
  test.concurrent('the lock it waits for, and who holds it', async () => {
    using directory = new TemporaryDirectory();
    const lock = directory.join('lock-frontend');
    const holder = Bun.spawn(['flock', lock, 'sleep', '300'], { stdio: ['ignore', 'ignore', 'ignore'] });
    try {
      await expectTold(
        `sleep 0.2; flock ${lock} true`,
        new RegExp(
          `flock ${lock} true \\(pid \\d+\\) waits for the lock on ${lock}, held by flock ${lock} sleep 300 \\(pid ${holder.pid}\\)`,
        ),
      );
    } finally {
      holder.kill();
    }
  });

  test.concurrent('the lock it asks for again and again', async () => {
    using directory = new TemporaryDirectory();
    const lock = directory.join('lock-frontend');
    const holder = Bun.spawn(['flock', lock, 'sleep', '300'], { stdio: ['ignore', 'ignore', 'ignore'] });
    try {
      await expectTold(
        `exec 9> ${lock}; perl -e 'open F, ">&=9"; sleep 1 until flock F, 6'`,
        `waits for the lock on ${lock}, held by flock ${lock} sleep 300 (pid ${holder.pid})`,
      );
    } finally {
      holder.kill();
    }
  });

  test.concurrent('the peer whose answer it waits for', async () => {
    const silent = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } });
    try {
      await expectTold(
        `exec 3<>/dev/tcp/127.0.0.1/${silent.port}; cat <&3`,
        new RegExp(`cat \\(pid \\d+\\) waits for data from 127\\.0\\.0\\.1:${silent.port}`),
      );
    } finally {
      silent.stop(true);
    }
  });

  test.concurrent('that it serves clients', async () => {
    const perl = 'my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1"); $s->accept';
    await expectTold(
      `perl -MIO::Socket::INET -e '${perl}'`,
      /perl -MIO::Socket::INET -e '.+ \(pid \d+\) listens on 127\.0\.0\.1:\d+ for clients/,
    );
  });

  test.concurrent('that it is busy', async () => {
    await expectTold('while :; do :; done', /silent: bash \(pid \d+\) is busy with the CPU \(\d+ %[^)]*\)/);
  });

  test.concurrent('that it sleeps, also below other commands', async () => {
    await expectTold('bash -c "sleep 300; true"; true', /It was silent: sleep 300 \(pid \d+\) sleeps for 300 s\./);
  });

  test.concurrent('how long it sleeps in a call that waits for events', async () => {
    await expectTold(
      "perl -e 'select(undef, undef, undef, 400)'",
      /perl -e 'select\(undef, undef, undef, 400\)' \(pid \d+\) sleeps for 400 s\./,
    );
  });

  test.concurrent.each(['MONOTONIC', 'REALTIME'])('how long it sleeps until a time of %s', async (clock) => {
    const until = `my $end = clock_gettime(CLOCK_${clock}) + 400; clock_nanosleep(CLOCK_${clock}, $end * 1e9, 1)`;
    const [, seconds] = await expectTold(
      `perl -MTime::HiRes=:DEFAULT,clock_gettime,clock_nanosleep,CLOCK_${clock} -e '${until}'`,
      /sleeps for (\d+(?:\.\d)?) s\./,
    );
    expect(Number(seconds)).toBeWithin(300, 401);
  });

  test.concurrent('what a call would have helped, but no call that now comes too late', async () => {
    for (const [cmd, way, told] of [
      ['read -r x', { pty: true }, /silent: bash \(pid \d+\) waits for input on its terminal\. /],
      ['read -r x', { interactive: true }, /silent: bash \(pid \d+\) waits for input\. /],
      ['kill -STOP $$', {}, /silent: bash \(pid \d+\) is stopped \(SIGSTOP\)\. /],
    ] as const) {
      const { session } = await agent.shell({ cmd, ...way, timeout: 3, background: true });
      const { message } = await eventually('its limit', async () => {
        const now = await agent.read({ session });
        return now.status === 'timeout' && now;
      });
      expect(message).toMatch(told);
      expect(message).not.toContain('_session');
    }
  });

  test.concurrent('its words, without their secrets', async () => {
    const words = `bash -c 'exec -a nightly-backup sleep 300' --password=hunter2-of-backup`;
    await expectTold(words, /nightly-backup 300 \(pid \d+\) sleeps/);
    await expectTold(`perl -e 'sleep 300' -- --password=hunter2-of-backup`, /--password=‹password› \(pid \d+\) sleeps/);
  });

  test.concurrent('the lock whose taker has ended, and who holds it since', async () => {
    using directory = new TemporaryDirectory();
    const lock = directory.join('lock-frontend');
    const heir = Bun.spawn(['bash', '-c', `exec 9> ${lock}; flock 9; exec sleep 300`], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    try {
      await expectTold(`sleep 0.5; flock ${lock} true`, `held by sleep 300 (pid ${heir.pid})`);
    } finally {
      heir.kill();
    }
  });

  test.concurrent('the lock that another part of the same command holds', async () => {
    using directory = new TemporaryDirectory();
    const lock = directory.join('lock');
    const holds = new RegExp(`waits for the lock on ${lock}, held by sleep 300 \\(pid \\d+\\)`);
    const waits = `while flock -n ${lock} true; do sleep 0.05; done; flock ${lock} true`;
    await expectTold(`(flock 9; exec sleep 300) 9> ${lock} & ${waits}`, holds);
    await expectTold(`(flock 9; sleep 300; true) 9> ${lock} & ${waits}`, holds);
    const [, waiter, holder] = await expectTold(
      `exec 9> ${lock}; flock 9; (exec 8> ${lock}; flock 8)`,
      /flock 8 \(pid (\d+)\) waits for the lock on [^ ]+, held by bash \(pid (\d+)\)/,
    );
    expect(holder).not.toBe(waiter);
  });

  test.concurrent('no lock that it holds itself', async () => {
    using directory = new TemporaryDirectory();
    const lock = directory.join('lock');
    await expectTold(`exec 9> ${lock}; flock 9; sleep 300`, /sleep 300 \(pid \d+\) sleeps/);
  });

  test.concurrent('the named pipe that nobody writes to', async () => {
    using directory = new TemporaryDirectory();
    const pipe = directory.join('pipe');
    await expectTold(
      `mkfifo ${pipe}; cat ${pipe}`,
      new RegExp(`cat ${pipe} \\(pid \\d+\\) waits for the other side of the named pipe ${pipe}`),
    );
    await expectTold(`exec 3<> ${pipe}; cat <&3`, `the named pipe ${pipe}`);
  });

  test.concurrent('that it is stopped', async () => {
    await expectTold('kill -STOP $$; true', /is stopped \(SIGSTOP\)\. /);
  });
});

test('a reader of a silent command is told what it waits for', async () => {
  const { session } = await agent.shell({ cmd: 'echo one; sleep 300', background: true });
  expect((await agent.read({ session, wait: 5, until: 'output' })).message).not.toContain('sleep');
  const { message } = await agent.read({ session, offset: 4, wait: 3 });
  expect(message).toMatch(/sleep 300 \(pid \d+\) sleeps for 300 s\./);
  await agent.call('close_session', { session });
});

describe('with a terminal or an open input, what waits for something else does not count as waiting for input', () => {
  const silent = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } });
  afterAll(() => silent.stop(true));

  const cases: readonly [what: string, cmd: string, told: RegExp][] = [
    [
      'a client of the network',
      `curl -s http://127.0.0.1:${silent.port}/`,
      /curl -s http:\S+ \(pid \d+\) waits for data from/,
    ],
    [
      'a sleep in select',
      "perl -e 'select(undef, undef, undef, 400)'",
      /perl -e 'select\(undef, undef, undef, 400\)' \(pid \d+\) sleeps for 400 s/,
    ],
    ['a file that is followed', 'tail -f /etc/hostname', /still running/],
    [
      'one that looks at its input now and then while its child works',
      "perl -MIO::Select -e 'fork or exec qw(sleep 300); 1 until IO::Select->new(*STDIN)->can_read(1)'",
      /sleep 300 \(pid \d+\) sleeps for 300 s/,
    ],
  ];
  describe.each(['pty', 'interactive'] as const)('with %s', (kind) => {
    test.concurrent.each(cases)('%s', async (_, cmd, told) => {
      const { session, status } = await agent.shell({ cmd, [kind]: true, background: true });
      expect(status).toBe('running');
      const offset = 1_000_000;
      const message = await eventually('it comes to what it waits for', async () => {
        const { message = '' } = await agent.read({ session, offset, wait: 2.5 });
        return told.test(message) && message;
      });
      expect(message).not.toContain('write_session');
      await agent.call('close_session', { session });
    });

    test.concurrent('but who asks in a call that waits for events does', async () => {
      const cmd = "perl -MIO::Select -e 'IO::Select->new(*STDIN)->can_read(); print scalar <STDIN>'";
      const { session, message } = await agent.shell({ cmd, [kind]: true, timeout: 60 });
      expect(message).toMatch(/perl -MIO::Select -e '.+ \(pid \d+\) waits for input/);
      const { body } = await agent.call('write_session', { session, input: 'typed\n' });
      expect(body).toMatchObject({ status: 'done', stdout: expect.stringContaining('typed\n') });
    });
  });
});
