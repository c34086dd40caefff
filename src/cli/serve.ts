import type { Command } from '@commander-js/extra-typings';
import type { TSchema } from '@sinclair/typebox';
import { describeSchema } from '../lib/describe-schema.ts';
import { SETTING_ROWS } from '../settings/config.ts';

/** `agent3 serve`. */
export function defineServe(command: Command): void {
  command.addHelpText('after', settingsHelp).action(async () => (await import('../server/serve.ts')).serve());
}

function settingsHelp(): string {
  const lines = SETTING_ROWS.map(([name, { schema, about, otherwise }]) => {
    const value = otherwise ?? schema['default'];
    const shown = value === undefined ? '' : ` Default: ${value}.`;
    return `  ${name.padEnd(32)}${`${about}${shown}`.replaceAll('`', '')}${describeRange(schema)}`;
  });
  return `\nSettings, from the environment:\n${lines.join('\n')}`;
}

function describeRange(schema: TSchema): string {
  const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
  return isNumber || schema['anyOf'] !== undefined ? ` Allowed: ${describeSchema(schema)}.` : '';
}

/** `agent3 mcp`. */
export function defineMcp(command: Command): void {
  command
    .addHelpText(
      'after',
      `
No token is needed. Settings come from the environment, as for serve. Sessions are kept in
~/.local/state/agent3 unless AGENT3_SESSIONS_DIR names another directory. The log goes to standard error.

Example, in the configuration of a client:
  {"mcpServers":{"agent3":{"command":"agent3","args":["mcp"]}}}`,
    )
    .action(async () => (await import('../server/serve-stdio.ts')).serveStdio());
}
