import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, type CommandUnknownOpts } from '@commander-js/extra-typings';
import { MANUAL_PAGES } from '../../ops/manual.ts';
import { COMMANDS, define } from '../../src/cli/program.ts';
import { FIRST_WORDS } from '../words.ts';

const ROOT = join(import.meta.dir, '../..');

/** Every command that the help shows, and their subcommands, by what is typed. */
const commands = new Map<string, CommandUnknownOpts>();
for (const { name, group } of COMMANDS) {
  const command = new Command(name);
  await define(name, command);
  if (group === '') continue;
  commands.set(name, command);
  for (const inner of command.createHelp().visibleCommands(command))
    if (inner.name() !== 'help') commands.set(`${name} ${inner.name()}`, inner);
}
const leaves = [...commands].filter(([, command]) => command.commands.length === 0);

test('has the grammar that was decided', () => {
  expect(leaves.map(([name]) => name).sort()).toEqual(
    [
      ...[
        'serve',
        'install',
        'status',
        'uninstall',
        'doctor',
        'exec',
        'mcp',
        'gpt',
        'watchdog',
        'completion',
        'connect',
        'cp',
        'freeze',
        'thaw',
      ],
      ...['new', 'create', 'list', 'rotate', 'revoke'].map((verb) => `token ${verb}`),
      ...['list', 'check', 'explain'].map((verb) => `profile ${verb}`),
      ...['list', 'show', 'approve', 'deny', 'watch'].map((verb) => `approval ${verb}`),
      ...['list', 'read', 'stop', 'close'].map((verb) => `session ${verb}`),
      ...['tail', 'grep', 'verify'].map((verb) => `audit ${verb}`),
      ...['link', 'list', 'remove', 'serve'].map((verb) => `console ${verb}`),
      ...['init', 'invite', 'list', 'show', 'label', 'remove', 'passkeys'].map((verb) => `fleet ${verb}`),
      ...['join', 'leave'],
    ].sort(),
  );
});

describe('the documents name', () => {
  const table =
    readFileSync(join(ROOT, 'ops/docs/cli.md'), 'utf8').split('\n## Commands\n')[1]?.split('\n## ')[0] ?? '';

  test.each(leaves.map(([name]) => name))('agent3 %s in the table of the document', (name) => {
    expect(table).toContain(`\`agent3 ${name}\``);
  });
});

describe('the manual pages', () => {
  const page = (name: string): string => MANUAL_PAGES.find((one) => one.name === name)?.text ?? '';

  test.each(COMMANDS.filter(({ group }) => group !== '').map(({ name }) => name))('have one of agent3 %s', (name) => {
    expect(page('agent3.1')).toContain(`\n.B ${name}\n`);
    expect(page(`agent3-${name}.1`)).toContain(`.SH NAME\nagent3\\-${name} \\- `);
  });

  test.each(leaves)('say each option of agent3 %s', (path, command) => {
    const text = page(`agent3-${path.split(' ')[0]}.1`);
    for (const { flags, hidden } of command.options) {
      if (!hidden) expect(text).toContain(`\n.B ${flags.replaceAll('-', '\\-')}\n`);
    }
  });
});

const summaries = [
  ...leaves.map(([name, command]) => [name, command.description() || summaryOf(name)] as const),
  ...COMMANDS.map(({ name, summary }) => [name, summary] as const),
];

function summaryOf(name: string): string {
  return COMMANDS.find((entry) => entry.name === name)?.summary ?? '';
}

test.each(summaries)('the summary of agent3 %s is one sentence that begins with a verb', (_, summary) => {
  expect(summary).toMatch(/^[A-Z][^.]+$/);
  expect(FIRST_WORDS).toContain(/^[A-Za-z]+/.exec(summary)?.[0] ?? '');
});

const tables = [
  'status',
  'doctor',
  'gpt',
  'audit tail',
  'audit grep',
  'audit verify',
  'approval show',
  'profile check',
  'profile explain',
];
test.each([...tables, ...leaves.map(([name]) => name).filter((name) => name.endsWith(' list'))])(
  'agent3 %s has --json',
  (name) => {
    expect(commands.get(name)?.options.map(({ long }) => long)).toContain('--json');
  },
);
