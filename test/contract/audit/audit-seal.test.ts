import { afterAll, describe, expect, test } from 'bun:test';
import { appendFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { forge, linesOf, noteOf, textOf, verify } from '../../helpers/record.ts';
import { eventually } from '../../helpers/waiting.ts';

const KEY = 'a-key-of-the-record-with-40-characters-x';
const directory = new TemporaryDirectory();
afterAll(() => directory[Symbol.dispose]());
let made = 0;
const newRecord = (): string => directory.join(`record-${++made}.jsonl`);

const settingsOf = (path: string, key: string | undefined) => ({
  AGENT3_AUDIT_FILE: path,
  ...(key !== undefined && { AGENT3_AUDIT_KEY: key }),
});

/** A record of some commands; the agent is gone. */
const recordOf = async (path: string, key: string | undefined, commands = 5): Promise<void> => {
  await using agent = await startAgent(settingsOf(path, key));
  for (let count = 0; count < commands; count++) await agent.shell({ cmd: `echo ${count}` });
};

/** An agent starts on a record and runs a command. */
const goOn = async (path: string, key: string | undefined): Promise<void> => {
  await using agent = await startAgent(settingsOf(path, key));
  await agent.shell({ cmd: 'echo on' });
};

const write = (path: string, lines: readonly string[]): void =>
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''));

const rotate = async (agent: Agent, path: string, to = `${path}.1`): Promise<void> => {
  renameSync(path, to);
  writeFileSync(path, '');
  const { length } = agent.logs.filter(({ msg }) => msg === 'reloaded');
  agent.signal('SIGHUP');
  await eventually('it is reloaded', () => agent.logs.filter(({ msg }) => msg === 'reloaded').length > length);
};

describe('a record with a key', () => {
  test('has a MAC in each line, and is whole', async () => {
    const path = newRecord();
    await recordOf(path, KEY);
    for (const line of textOf(path)) expect(line).toMatch(/,"mac":"[\w-]{22}"\}$/);
    const { code, stdout } = await verify(path, KEY);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('11 lines are sealed\n') });
    const without = await verify(path);
    expect(without).toMatchObject({ code: 0, stdout: expect.stringContaining('checked without the key: ') });
    const { stdout: withOther } = await verify(path, `${KEY}y`);
    expect(withOther).toContain(`✗ ${path}:1: it is forged`);
    expect(withOther).toContain('all 11 sealed lines have the MAC of another key. If AGENT3_AUDIT_KEY was changed,');
  });

  test('in which one line was changed is no reason to ask for another key', async () => {
    const path = newRecord();
    await recordOf(path, KEY);
    write(
      path,
      textOf(path).map((line, index) => (index === 3 ? line.replace('default', 'defau1t') : line)),
    );
    const { code, stdout } = await verify(path, KEY);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringContaining(`✗ ${path}:4: it is forged`) });
    expect(stdout).not.toContain('If AGENT3_AUDIT_KEY was changed');
  });

  test('gives its key to no command', async () => {
    const path = newRecord();
    await using agent = await startAgent(settingsOf(path, KEY));
    await agent.shell({ cmd: `: ${KEY}` });
    expect(readFileSync(path, 'utf8')).toContain(': ‹token›');
    expect((await agent.shell({ cmd: `tr '\\0' '\\n' < /proc/${agent.pid}/environ; env` })).stdout).not.toContain(KEY);
  });

  test('is refused with a key that is too short', async () => {
    const agent = startAgent(settingsOf(newRecord(), 'short-key-of-24-letters!'));
    expect(agent).rejects.toThrow();
  });

  test('that had none before is no forgery, and the lines before it are told of', async () => {
    const path = newRecord();
    await recordOf(path, undefined, 2);
    await goOn(path, KEY);
    expect(linesOf(path).map(({ what }) => what)).toContain('sealed from here on');
    const { code, stdout } = await verify(path, KEY);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('the 5 before them') });
  });

  test('goes on when the agent died between a line and the note of it', async () => {
    const path = newRecord();
    await recordOf(path, KEY);
    const lines = textOf(path);
    const head = readFileSync(`${path}.head`);
    await goOn(path, KEY);
    write(path, textOf(path).slice(0, lines.length + 1));
    writeFileSync(`${path}.head`, head);
    expect((await verify(path, KEY)).code).toBe(0);
    await goOn(path, KEY);
    expect((await verify(path, KEY)).code).toBe(0);
  });
});

describe('what the user of the agent may do to a record with a key is found', () => {
  const attacks: readonly [what: string, attack: (path: string, lines: string[]) => void, told: RegExp][] = [
    [
      'lines are added, and the note is made to fit',
      (path, lines) => {
        const forged = forge(lines.at(-1) ?? '', 3);
        write(path, [...lines, ...forged]);
        writeFileSync(`${path}.head`, noteOf(forged.at(-1) ?? '', 1));
      },
      /:12: it has no MAC/,
    ],
    [
      'lines are added with a MAC of another line, and the note is kept',
      (path, lines) => {
        const mac = /,"mac":"[\w-]{22}"\}$/.exec(lines[3] ?? '')?.[0] ?? '';
        write(path, [...lines, `${forge(lines.at(-1) ?? '', 1)[0]?.slice(0, -1)}${mac}`]);
      },
      /:12: it is forged: its MAC is not of this key/,
    ],
    [
      'one line is added that has the right number and hash',
      (path, lines) => write(path, [...lines, ...forge(lines.at(-1) ?? '', 1)]),
      /:12: it has no MAC/,
    ],
    [
      'the end is cut off, and the note removed',
      (path, lines) => {
        write(path, lines.slice(0, -3));
        rmSync(`${path}.head`);
      },
      /the agent found: the note of where it ends is missing|record-\d+.jsonl.head is missing/,
    ],
    [
      'the end is cut off, and the note emptied',
      (path, lines) => {
        write(path, lines.slice(0, -3));
        writeFileSync(`${path}.head`, '');
      },
      /the agent found: the note of where it ends is missing|record-\d+.jsonl.head is missing/,
    ],
    [
      'the end is cut off, and the note is made to fit, as one without a key',
      (path, lines) => {
        write(path, lines.slice(0, -3));
        writeFileSync(`${path}.head`, noteOf(lines.at(-4) ?? '', 1));
      },
      /the agent found: the note of where it ends is not sealed, and lines are|head is forged: it has no MAC/,
    ],
    [
      'the end is cut off, and the note is made to fit, as one that counts no files',
      (path, lines) => {
        write(path, lines.slice(0, -3));
        writeFileSync(`${path}.head`, noteOf(lines.at(-4) ?? '', 1).replace(/\n.*\n$/, '\n'));
      },
      /the agent found: the note of where it ends was damaged|head is damaged/,
    ],
    [
      'the last line is cut in its middle',
      (path, lines) => {
        write(path, lines);
        writeFileSync(path, readFileSync(path).subarray(0, -40));
      },
      /:11: it is not whole|the agent found: the last line does not belong to the record/,
    ],
    [
      'the note is damaged',
      (path) => writeFileSync(`${path}.head`, 'x'.repeat(200)),
      /the agent found: the note of where it ends was damaged|head is damaged/,
    ],
    [
      'everything is cut off',
      (path) => writeFileSync(path, ''),
      /11 lines are missing at the end|the agent found: the file was emptied/,
    ],
  ];
  test.each(attacks)('%s', async (_, attack, told) => {
    const path = newRecord();
    await recordOf(path, KEY);
    attack(path, textOf(path));
    const before = await verify(path, KEY);
    expect({ code: before.code, stdout: before.stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(told),
    });
    // Also when an agent continues after it.
    await goOn(path, KEY);
    expect(linesOf(path).some(({ event }) => event === 'tampered')).toBe(true);
    const { code, stdout } = await verify(path, KEY);
    expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringMatching(told) });
  });
});

describe('without a key', () => {
  test('one line behind the note is a finding', async () => {
    const path = newRecord();
    await recordOf(path, undefined);
    appendFileSync(path, `${forge(textOf(path).at(-1) ?? '', 1)[0]}\n`);
    const { code, stdout } = await verify(path);
    expect({ code, stdout }).toMatchObject({ code: 1, stdout: expect.stringContaining('1 line follows') });
  });

  test('a note that is missing is found by the agent', async () => {
    const path = newRecord();
    await recordOf(path, undefined);
    write(path, textOf(path).slice(0, -3));
    rmSync(`${path}.head`);
    await goOn(path, undefined);
    expect((await verify(path)).stdout).toContain('the agent found: the note of where it ends is missing');
  });

  test('a line that a full disk cut is no forgery', async () => {
    const path = newRecord();
    await recordOf(path, undefined);
    const { length } = textOf(path);
    appendFileSync(path, `{"seq":${length + 1},"time":"2026`);
    await goOn(path, undefined);
    expect(linesOf(path)[length]).toMatchObject({ event: 'recovered' });
    expect((await verify(path)).code).toBe(0);
  });
});

describe('the beginning of a record', () => {
  test('that was cut off is missed', async () => {
    for (const key of [undefined, KEY]) {
      const path = newRecord();
      await recordOf(path, key);
      write(path, textOf(path).slice(3));
      expect(await verify(path, key)).toMatchObject({
        code: 1,
        stdout: expect.stringContaining(`✗ ${path}:1: lines are missing at the beginning`),
      });
    }
  });

  test('is that of a file, by its number, and older files may go by their age alone', async () => {
    const path = newRecord();
    await using agent = await startAgent(settingsOf(path, KEY));
    await agent.shell({ cmd: 'echo 1' });
    await rotate(agent, path, `${path}.2`);
    await agent.shell({ cmd: 'echo 2' });
    await rotate(agent, path, `${path}.1`);
    await agent.shell({ cmd: 'echo 3' });
    expect(linesOf(`${path}.1`)[0]).toMatchObject({ event: 'agent', what: 'file', number: 2 });
    expect(linesOf(path)[0]).toMatchObject({ event: 'agent', what: 'file', number: 3 });
    expect((await verify(path, KEY)).code).toBe(0);
    rmSync(`${path}.2`);
    const gone = await verify(path, KEY);
    expect({ code: gone.code, stdout: gone.stdout }).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('1 older file is gone, and only 1 of the 90 that are kept are there'),
    });
    expect((await verify(path, KEY, '--kept', '1')).code).toBe(0);
    write(`${path}.1`, textOf(`${path}.1`).slice(1));
    expect((await verify(path, KEY, '--kept', '1')).stdout).toContain('lines are missing at the beginning');
  });

  test('is found when the agent was down at the rotation, and when somebody wrote before it', async () => {
    const path = newRecord();
    await recordOf(path, KEY);
    renameSync(path, `${path}.1`);
    writeFileSync(path, '');
    await goOn(path, KEY);
    expect(linesOf(path)[0]).toMatchObject({ what: 'file', number: 2 });
    expect((await verify(path, KEY)).code).toBe(0);
    await using agent = await startAgent(settingsOf(path, KEY));
    renameSync(path, `${path}.0`);
    writeFileSync(path, '{"hello":1}\n');
    agent.signal('SIGHUP');
    await agent.log.find('the reload', ({ msg }) => msg === 'reloaded');
    await agent.shell({ cmd: 'true' });
    expect((await verify(path, KEY)).stdout).toContain('the agent found: the new file was written to');
  });
});

test('files that logrotate names by their day are part of the record', async () => {
  const path = newRecord();
  await using agent = await startAgent(settingsOf(path, KEY));
  await agent.shell({ cmd: 'echo 1' });
  await rotate(agent, path, `${path}-20261122`);
  writeFileSync(`${path}-20261122.gz`, gzipSync(readFileSync(`${path}-20261122`)));
  rmSync(`${path}-20261122`);
  await agent.shell({ cmd: 'echo 2' });
  await rotate(agent, path, `${path}-20261123`);
  await agent.shell({ cmd: 'echo 3' });
  const { code, stdout } = await verify(path, KEY);
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('in 3 files') });
});

test('a record is whole while an agent writes it', async () => {
  const path = newRecord();
  await using agent = await startAgent(settingsOf(path, KEY));
  let isOver = false;
  const work = async (): Promise<void> => {
    while (!isOver) await agent.shell({ cmd: 'true' });
  };
  const clients = Array.from({ length: 4 }, work);
  for (let look = 0; look < 8; look++) {
    const { code, stdout } = await verify(path, look % 2 === 0 ? KEY : undefined);
    expect({ code, stdout }).toMatchObject({ code: 0 });
  }
  isOver = true;
  await Promise.all(clients);
});
