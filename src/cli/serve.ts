import type { TSchema } from '@sinclair/typebox';
import type { Command } from 'commander';
import { describeSchema } from '../lib/schema-words.ts';
import { settingsSchema } from '../settings/settings.ts';

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('Run the agent: answer POST / until SIGTERM')
    .addHelpText('after', settingsHelp)
    .action(async () => (await import('../server/serve.ts')).serve());
}

function settingsHelp(): string {
  const lines = Object.entries(settingsSchema.properties).map(([name, { default: value, description }]) => {
    const shown = value === undefined ? '' : ` Default: ${value}.`;
    return `  ${name.padEnd(32)}${description?.replaceAll('`', '')}${shown}${rangeOf(settingsSchema.properties[name as keyof typeof settingsSchema.properties])}`;
  });
  return `\nSettings, from the environment:\n${lines.join('\n')}`;
}

/** What a number may be, or which words there are. */
function rangeOf(schema: TSchema): string {
  const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
  return isNumber || schema['anyOf'] !== undefined ? ` Allowed: ${describeSchema(schema)}.` : '';
}
