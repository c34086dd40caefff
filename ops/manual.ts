import { type Argument, Command, type CommandUnknownOpts, type Option } from '@commander-js/extra-typings';
import { COMMANDS, define } from '../src/cli/program.ts';

/*
 * The manual pages, made from the table of commands: agent3(1) with all commands, and agent3-NAME(1) for each command with
 * its options. Further text of the pages is here.
 */

interface ManualPage {
  /** Such as `agent3-token.1`. */
  readonly name: string;
  /** The text, in the language of man(7). */
  readonly text: string;
}

const DESCRIPTION = `Agent3 gives an AI model, such as ChatGPT or Claude, a shell on this server.
It answers over HTTP, enforces the limits of every command, and keeps all output until it is removed or expires.
Installed as a package it runs as
.BR agent3.service ,
and its commands run in
.BR agent3-commands.service .`;

const FILES: readonly (readonly [path: string, what: string])[] = [
  ['/etc/agent3/agent3.env', 'Settings and token.'],
  ['/etc/agent3/profiles.d', 'Profiles of the owner.'],
  ['/var/lib/agent3/sessions', 'The output of commands.'],
  ['/var/log/agent3', 'The log and the record.'],
  ['/usr/share/doc/agent3', 'The documents.'],
];

const EXIT_STATUS = `0 for success, 1 for a failure, 2 for a mistake on the command line or in a setting.
.B agent3 exec
ends with the exit code of its command, and with 255 when it failed itself.`;

/** All manual pages, built from the commands of this version. */
export const MANUAL_PAGES: readonly ManualPage[] = await makePages();

async function makePages(): Promise<ManualPage[]> {
  const shown = COMMANDS.filter(({ group }) => group !== '');
  const pages: ManualPage[] = [];
  for (const { name, summary } of shown) {
    const command = new Command(name).description(summary).helpCommand(false);
    await define(name, command);
    pages.push({
      name: `agent3-${name}.1`,
      text: pageOf(`agent3 ${name}`, summary, bodyOf(`agent3 ${name}`, command)),
    });
  }
  const groups = [...new Set(shown.map(({ group }) => group))].map((group) => {
    const rows = shown.filter((one) => one.group === group).map(({ name, summary }) => item(bold(name), summary));
    return [`.SS ${escaped(group.replace(/:$/, ''))}`, ...rows].join('\n');
  });
  const files = FILES.map(([path, what]) => item(italic(path), what));
  const body = [
    section('SYNOPSIS', '.B agent3\n.RI [ COMMAND ]\n.RI [ OPTION ...]'),
    section('DESCRIPTION', DESCRIPTION),
    section('COMMANDS', groups.join('\n')),
    section('FILES', files.join('\n')),
    section('EXIT STATUS', EXIT_STATUS),
    section(
      'SEE ALSO',
      `${shown.map(({ name }) => `.BR agent3\\-${escaped(name)} (1),`).join('\n')}\n.BR systemctl (1)`,
    ),
  ];
  return [{ name: 'agent3.1', text: pageOf('agent3', 'a shell on this server for an AI model', body) }, ...pages];
}

function bodyOf(path: string, command: CommandUnknownOpts): string[] {
  const parts = command.createHelp().visibleCommands(command);
  const usages =
    parts.length === 0 ? [usageOf(path, command)] : parts.map((one) => usageOf(`${path} ${one.name()}`, one));
  const described =
    parts.length === 0
      ? []
      : parts.map((one) =>
          [`.SS ${escaped(one.name())}`, sentence(one.description()), itemsOf(one)].filter(Boolean).join('\n'),
        );
  return [
    section('SYNOPSIS', usages.join('\n.br\n')),
    section('DESCRIPTION', sentence(command.description())),
    ...(described.length > 0 ? [section('COMMANDS', described.join('\n'))] : []),
    ...(itemsOf(command) === '' ? [] : [section('OPTIONS', itemsOf(command))]),
    section('SEE ALSO', '.BR agent3 (1)'),
  ];
}

function usageOf(path: string, command: CommandUnknownOpts): string {
  return `${bold(path)}\n${escaped(command.usage())}`;
}

function itemsOf(command: CommandUnknownOpts): string {
  const args = command.registeredArguments
    .filter((one: Argument) => one.description !== '')
    .map((one: Argument) => item(italic(one.name()), one.description));
  const options = command.options
    .filter((option: Option) => !option.hidden)
    .map((option: Option) => item(bold(option.flags), option.description));
  return [...args, ...options].join('\n');
}

function pageOf(name: string, summary: string, body: readonly string[]): string {
  const title = name.replaceAll(' ', '-');
  const head = `.TH ${title.toUpperCase()} 1 "" "Agent3" "User Commands"`;
  return `${[head, section('NAME', `${escaped(title)} \\- ${escaped(summary)}`), ...body].join('\n')}\n`;
}

function section(title: string, text: string): string {
  return `.SH ${title}\n${text}`;
}

function item(head: string, text: string): string {
  return `.TP\n${head}\n${sentence(text)}`;
}

function sentence(text: string): string {
  return escaped(/[.!?]$/.test(text) ? text : `${text}.`);
}

function bold(text: string): string {
  return `.B ${escaped(text)}`;
}

function italic(text: string): string {
  return `.I ${escaped(text)}`;
}

/** Escapes text for man(7): it contains no requests, and its hyphens can be copied. */
function escaped(text: string): string {
  const line = text.replaceAll('\n', ' ').replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return /^[.']/.test(line) ? `\\&${line}` : line;
}
