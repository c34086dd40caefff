import type { TSchema } from '@sinclair/typebox';
import type { Command } from 'commander';
import { describeSchema } from '../lib/schema-words.ts';
import { SETTING_ROWS } from '../settings/settings.ts';

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Run the agent: answer POST / until SIGTERM')
    .addHelpText('after', settingsHelp)
    .action(async () => (await import('../server/serve.ts')).serve());
}

function settingsHelp(): string {
  const lines = SETTING_ROWS.map(([name, { schema, about, otherwise }]) => {
    const value = otherwise ?? schema['default'];
    const shown = value === undefined ? '' : ` Default: ${value}.`;
    return `  ${name.padEnd(32)}${`${about}${shown}`.replaceAll('`', '')}${rangeOf(schema)}`;
  });
  return `\nSettings, from the environment:\n${lines.join('\n')}`;
}

/** What a number may be, or which words there are. */
function rangeOf(schema: TSchema): string {
  const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
  return isNumber || schema['anyOf'] !== undefined ? ` Allowed: ${describeSchema(schema)}.` : '';
}
