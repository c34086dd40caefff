import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { appendFileSync, chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { headPath } from '../../../src/audit/chain.ts';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { ensurePrograms, hostEnvironment } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { noteOf, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const MIB = 1_048_576;
const missing = ensurePrograms('logrotate');

/** Makes a record larger by whole lines of a megabyte, as an agent without a key writes them. */
const enlarge = (path: string, mib: number, files = 1): void => {
  const pad = 'x'.repeat(MIB);
  let last = textOf(path).at(-1) ?? '';
  for (let count = 0; count < mib; count++) {
    const seq = Number(JSON.parse(last).seq) + 1;
    const prev = createHash('sha256').update(last).digest('hex');
    last = JSON.stringify({ seq, time: new Date().toISOString(), event: 'operation', token: 'default', pad, prev });
    appendFileSync(path, `${last}\n`);
  }
  writeFileSync(headPath(path), noteOf(last, files));
};

const expectWhole = async (path: string): Promise<void> => {
  const { code, stdout } = await verify(path);
  expect(`${code} ${stdout}`).toStartWith('0 ');
};

test('without logrotate the agent puts a record of 64 MiB aside, and the chain goes on', async () => {
  using directory = new TemporaryDirectory();
  const path = directory.join('audit.jsonl');
  await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
  await agent.shell({ cmd: 'echo one' });
  await agent.stop();
  enlarge(path, 64);
  await agent.restart();
  await agent.shell({ cmd: 'echo two' });
  expect(statSync(path).size).toBeLessThan(MIB);
  expect(statSync(`${path}.1`).size).toBeGreaterThan(64 * MIB);
  await expectWhole(path);
  await agent.restart();
  await agent.shell({ cmd: 'echo three' });
  await expectWhole(path);
  expect(readFileSync(path, 'utf8')).not.toContain('tampered');
  expect(existsSync(`${path}.2`)).toBe(false);
});

/** The stanza of ops/agent3.logrotate for the record, for this file and this agent. */
const configurationFor = (path: string, agent: Agent): string => {
  const text = readFileSync(join(import.meta.dir, '../../../ops/agent3.logrotate'), 'utf8');
  const stanza = text.slice(text.indexOf('/var/log/agent3/audit.jsonl {'));
  return stanza
    .replaceAll('/var/log/agent3/audit.jsonl', path)
    .replace('systemctl reload agent3.service', `kill -HUP ${agent.pid}`);
};

describe.skipIf(missing.length > 0 || process.getuid?.() !== 0)(
  'with logrotate, a record that can only be added to',
  () => {
    test('holds back the token that has filled its part, until logrotate has run a second time on a day', async () => {
      using directory = new TemporaryDirectory();
      chmodSync(directory.path, 0o755);
      const path = directory.join('audit.jsonl');
      const runs = (program: string, ...argv: string[]) =>
        Bun.spawnSync([program, ...argv], { env: hostEnvironment(), stderr: 'pipe' });
      const fix = (how: '+a' | '-a') => runs('chattr', how, path).exitCode === 0;
      await using agent = await startAgent({ AGENT3_AUDIT_FILE: path });
      await agent.shell({ cmd: 'echo one' });
      const configuration = directory.join('logrotate.conf');
      const rotate = () => {
        writeFileSync(configuration, configurationFor(path, agent));
        const { exitCode, stderr } = runs('logrotate', '-s', directory.join('state'), configuration);
        expect(`${exitCode} ${stderr}`).toBe('0 ');
      };
      // Its first run of the day.
      rotate();
      expect(existsSync(`${path}.1`)).toBe(false);
      await agent.stop();
      enlarge(path, 120);
      if (!fix('+a')) return console.warn('not run: no permission to make a file append-only');
      try {
        await agent.restart();
        const text = 'A'.repeat(99_000);
        const replies = [];
        for (let call = 0; call < 100; call++) replies.push(await agent.call('shell', { cmd: `true #${text}` }));
        // After a restart nobody knows who wrote what is there: at twice its size, the record takes nothing more.
        expect(replies[0]?.status).toBe(200);
        expect(replies.at(-1)?.body.message).toContain('it is full until it is rotated');
        expect(statSync(path).size).toBeLessThanOrEqual(128 * MIB);
        rotate();
        await eventually('the new file', () => existsSync(`${path}.1`) && statSync(path).size < MIB);
        await eventually(
          'a call that is taken',
          async () => (await agent.call('shell', { cmd: 'true' })).status === 200,
        );
        expect(readFileSync(path, 'utf8')).not.toContain('tampered');
        await expectWhole(path);
      } finally {
        fix('-a');
      }
    });
  },
);
