import { type Static, Type } from '@sinclair/typebox';
import type { OperationParts } from '../calls/parts.ts';
import { MAX_COMMAND_CHARS, MAX_KEY_CHARS, MIN_OUTPUT_BYTES, MIN_TIMEOUT_SECONDS } from '../lib/limits.ts';

/** The arguments of `shell`. */
export function shellArguments({ limits }: OperationParts) {
  return Type.Object({
    cmd: Type.String({
      minLength: 1,
      maxLength: MAX_COMMAND_CHARS,
      description: 'The command.',
      examples: ['uptime'],
    }),
    cwd: Type.Optional(
      Type.String({
        pattern: '^/',
        description: 'Working directory, an absolute path. Default: the home of the service user.',
      }),
    ),
    env: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Environment variables added to the clean base environment.',
    }),
    stdin: Type.String({
      default: '',
      description: 'Written to standard input, then closed. Writes files without quoting.',
    }),
    interactive: Type.Boolean({
      default: false,
      description: 'Keeps standard input open for write_session. The answer comes when the command waits for input.',
    }),
    pty: Type.Boolean({
      default: false,
      description:
        'Runs in a terminal, for programs that demand one: sudo, passwd, ssh, installers. Input as with interactive; all output is stdout.',
    }),
    rows: Type.Integer({ minimum: 1, maximum: 1000, default: 24, description: 'Lines of the terminal.' }),
    cols: Type.Integer({ minimum: 1, maximum: 1000, default: 120, description: 'Columns of the terminal.' }),
    plain: Type.Optional(
      Type.Boolean({ description: 'Text without escape sequences; the session keeps them. Default: true with pty.' }),
    ),
    timeout: Type.Optional(
      Type.Number({
        minimum: MIN_TIMEOUT_SECONDS,
        description: `Execution limit of this command in seconds: up to ${limits.maxExecSeconds}, the default, or in the background, with interactive and with pty up to ${limits.maxBackgroundSeconds}.`,
      }),
    ),
    background: Type.Boolean({
      default: false,
      description: 'Answers at once while the command goes on; follow it with read_session and wait. For long work.',
    }),
    on_timeout: Type.Optional(
      Type.Union([Type.Literal('kill'), Type.Literal('background')], {
        description: `What happens at timeout: the command is stopped, or goes on in the background. Default: ${limits.onTimeout}.`,
      }),
    ),
    keep: Type.Union([Type.Literal('both'), Type.Literal('head'), Type.Literal('tail')], {
      default: 'both',
      description: 'Which part of an over-long stream comes inline: both ends, its head or its tail.',
    }),
    key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_KEY_CHARS,
        description: 'Makes a repeat safe: the same key within 24 h runs nothing again and answers for the first call.',
      }),
    ),
    max_output: Type.Integer({
      minimum: Math.min(MIN_OUTPUT_BYTES, limits.maxOutputBytes),
      maximum: limits.maxOutputBytes,
      default: limits.maxOutputBytes,
      description: 'Most bytes of output in this answer, both streams together.',
    }),
  });
}

export type ShellArguments = Static<ReturnType<typeof shellArguments>>;
