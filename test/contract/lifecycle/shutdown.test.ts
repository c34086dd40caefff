import { describe, expect, test } from 'bun:test';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { postText, RawConnection } from '../../helpers/sockets.ts';
import { Trigger } from '../../helpers/trigger.ts';
import { eventually, within } from '../../helpers/waiting.ts';

/** Nobody listens on the agent's port any more. */
const closedToNewcomers = (agent: Agent) =>
  eventually('new connections are refused', () =>
    RawConnection.open(agent).then(
      (connection) => {
        connection[Symbol.dispose]();
        return false;
      },
      () => true,
    ),
  );

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test.concurrent('ends an idle agent with 0', async () => {
    await using agent = await startAgent();
    agent.signal(signal);
    expect(await within('the shutdown', agent.exited)).toBe(0);
  });

  test.concurrent('answers the commands in flight with running, then ends with 0', async () => {
    await using agent = await startAgent();
    const triggers = [new Trigger(), new Trigger()];
    const calls = triggers.map(({ arrive }) => agent.shell({ cmd: `echo so far; ${arrive}; sleep 300` }));
    const sessions = await Promise.all(triggers.map((trigger) => trigger.arrived()));
    agent.signal(signal);
    const answers = await within('the answers', Promise.all(calls));
    for (const [index, answer] of answers.entries()) {
      expect(answer).toMatchObject({
        status: 'running',
        exit_code: null,
        stdout: 'so far\n',
        session: sessions[index],
      });
    }
    expect(await within('the shutdown', agent.exited)).toBe(0);
    for (const trigger of triggers) trigger[Symbol.dispose]();
  });
});

describe('a shutdown', () => {
  test.concurrent('answers those who wait in read_session', async () => {
    await using agent = await startAgent();
    using trigger = new Trigger();
    const call = agent.shell({ cmd: `${trigger.arrive}; sleep 300` });
    const session = await trigger.arrived();
    using reader = await RawConnection.open(agent);
    reader.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await reader.until(/"ok"/);
    await reader.sent(postText(agent, JSON.stringify({ op: 'read_session', args: { session, wait: 40 } })));
    await agent.request('/healthz');
    agent.signal('SIGTERM');
    expect(await within('the answer', reader.until(/"next_offset":0/))).toContain('"status":"running"');
    expect((await within('the answer', call)).status).toBe('running');
    expect(await within('the shutdown', agent.exited)).toBe(0);
  });

  test.concurrent('keeps the sessions and their bytes for the next start', async () => {
    await using agent = await startAgent();
    using trigger = new Trigger();
    const done = await agent.shell({ cmd: 'echo kept; exit 3' });
    const call = agent.shell({ cmd: `echo so far; ${trigger.arrive}; sleep 300` });
    const session = await trigger.arrived();
    expect(await agent.stop()).toBe(0);
    expect((await call).status).toBe('running');
    await agent.restart();
    expect(await agent.read({ session: done.session })).toMatchObject({
      stdout: 'kept\n',
      status: 'done',
      exit_code: 3,
    });
    const answer = await agent.read({ session });
    expect(answer.stdout).toBe('so far\n');
    expect(['running', 'lost', 'killed']).toContain(answer.status);
  });

  test.concurrent('does not wait for idle connections', async () => {
    await using agent = await startAgent();
    using connection = await RawConnection.open(agent);
    connection.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await connection.until(/"ok"/);
    using silent = await RawConnection.open(agent);
    silent.send('P');
    await agent.request('/healthz');
    expect(await agent.stop()).toBe(0);
    await Promise.all([connection.closed, silent.closed]);
  });

  test.concurrent('does not wait for ever for a half-sent body', async () => {
    await using agent = await startAgent();
    using connection = await RawConnection.open(agent);
    connection.send(postText(agent, '{"op":', 1000));
    expect((await agent.request('/healthz')).status).toBe(200);
    expect(await agent.stop()).toBe(0);
  });

  test.concurrent('takes no new connections, and answers 503 on those it has', async () => {
    await using agent = await startAgent();
    using kept = await RawConnection.open(agent);
    kept.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await kept.until(/"ok"/);
    using half = await RawConnection.open(agent);
    half.send(postText(agent, '{"op":', 1000));
    await agent.request('/healthz');
    agent.signal('SIGTERM');
    await closedToNewcomers(agent);
    kept.received = '';
    kept.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answer = await within('an answer or the end', kept.until(/\}/));
    if (answer !== '') expect(answer).toStartWith('HTTP/1.1 503');
    kept.send(postText(agent, '{"op":"shell","args":{"cmd":"echo late"}}'));
    expect(await within('an answer or the end', kept.until(/Shutting down|late/))).not.toContain('late');
    expect(await within('the shutdown', agent.exited)).toBe(0);
  });

  test.concurrent.each(['SIGTERM', 'SIGINT'] as const)('ends at once at a second signal: %s', async (second) => {
    await using agent = await startAgent();
    using half = await RawConnection.open(agent);
    half.send(postText(agent, '{"op":', 1000));
    await agent.request('/healthz');
    agent.signal('SIGTERM');
    await closedToNewcomers(agent);
    agent.signal(second);
    await within('the end', agent.exited, 3000);
  });

  test.concurrent('is told in the log', async () => {
    await using agent = await startAgent();
    await agent.stop();
    await agent.log.ended;
    expect(agent.logs.slice(-2)).toMatchObject([
      { level: 'info', msg: 'shutting down', signal: 'SIGTERM', pending: 0 },
      { level: 'info', msg: 'stopped', dropped: 0 },
    ]);
  });

  test.concurrent('loses no line of the log', async () => {
    await using agent = await startAgent();
    const answers = await Promise.all(Array.from({ length: 30 }, () => agent.shell({ cmd: 'true' })));
    await agent.stop();
    await agent.log.ended;
    const logged = agent.logs.filter((line) => line['msg'] === 'request').map((line) => line['session']);
    expect(logged.toSorted()).toEqual(answers.map(({ session }) => session).toSorted());
  });
});
