import { accessSync, constants, existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { MIN_OUTPUT_BYTES, MIN_TOKEN_CHARS } from './core/limits.ts';
import { describeSchema, preview } from './core/schema-words.ts';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const GIB = 1_073_741_824;

/**
 * Every setting: its name, what is allowed, its default, and what it is for. The one source of the types, of the
 * checks and of the table in the README.
 */
export const settingsSchema = Type.Object({
  AGENT3_API_TOKEN: Type.String({
    minLength: MIN_TOKEN_CHARS,
    maxLength: 512,
    pattern: '^[\\x21-\\x7e]*$',
    description: 'The token that clients send. Required; `agent3 token` makes one.',
  }),
  AGENT3_HOST: Type.String({
    minLength: 1,
    maxLength: 255,
    default: '127.0.0.1',
    description: 'Address to listen on.',
  }),
  AGENT3_PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 5000, description: 'Port; 0 takes a free one.' }),
  AGENT3_SESSIONS_DIR: Type.String({
    minLength: 1,
    maxLength: 3000,
    default: './sessions',
    description: 'Directory of the sessions. Made when it is missing.',
  }),
  AGENT3_SHELL: Type.String({
    minLength: 1,
    maxLength: 3000,
    default: '/bin/bash, else /bin/sh',
    description: 'The shell, called with -c.',
  }),
  AGENT3_REPLY_SECONDS: Type.Number({
    minimum: 0.5,
    maximum: 200,
    default: 40,
    description: 'Every answer leaves within this time.',
  }),
  AGENT3_MAX_EXEC_SECONDS: Type.Number({
    minimum: 0.1,
    maximum: 86_400,
    default: 45,
    description: 'Execution limit of a command, and the largest `timeout`.',
  }),
  AGENT3_KILL_GRACE_SECONDS: Type.Number({
    minimum: 0,
    maximum: 60,
    default: 2,
    description: 'Between SIGTERM and SIGKILL.',
  }),
  AGENT3_MAX_OUTPUT_BYTES: Type.Integer({
    minimum: MIN_OUTPUT_BYTES,
    maximum: 10_485_760,
    default: 92_160,
    description: 'Output in one answer, both streams together.',
  }),
  AGENT3_MAX_REPLY_CHARS: Type.Integer({
    minimum: 5000,
    maximum: 100_000_000,
    default: 100_000,
    description: 'Every answer has fewer characters of JSON than this.',
  }),
  AGENT3_MAX_SESSION_BYTES: Type.Integer({
    minimum: 65_536,
    maximum: 1024 * GIB,
    default: GIB,
    description: 'Output of one session on disk.',
  }),
  AGENT3_MAX_SESSIONS_BYTES: Type.Integer({
    minimum: 65_536,
    maximum: 1024 * GIB,
    default: 5 * GIB,
    description: 'Output of all sessions on disk; the oldest ended ones go first.',
  }),
  AGENT3_SESSION_TTL_SECONDS: Type.Integer({
    minimum: 1,
    maximum: 31_536_000,
    default: 86_400,
    description: 'How long a session is kept after its end.',
  }),
  AGENT3_MAX_RUNNING: Type.Integer({
    minimum: 1,
    maximum: 10_000,
    default: 32,
    description: 'Commands running at once.',
  }),
  AGENT3_LOG_LEVEL: Type.Union(
    LOG_LEVELS.map((level) => Type.Literal(level)),
    { default: 'info', description: 'Least level that is logged.' },
  ),
});

type SettingName = keyof Static<typeof settingsSchema>;

/** The original's second variable: accepted and unused. `AGENT3_SESSION` marks an agent that was started by a command of another. */
const OTHER_NAMES: ReadonlySet<string> = new Set(['AGENT3_TOKEN', 'AGENT3_SESSION']);

/** The settings in force, in the units their names tell. */
export interface Config {
  readonly token: string;
  readonly host: string;
  readonly port: number;
  /** Absolute. */
  readonly sessionsDirectory: string;
  /** Absolute, and executable when the agent started. */
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  readonly killGraceSeconds: number;
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxSessionsBytes: number;
  readonly sessionTtlSeconds: number;
  readonly maxRunning: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Variables that begin with AGENT3_ and are no setting: most likely misspelt. */
  readonly unknownNames: readonly string[];
}

/** Settings that cannot be used; one sentence for each, which never shows the token. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(faults.join('\n'));
    this.name = 'ConfigError';
  }
}

/** Reads the settings from `environment`. Throws `ConfigError` with all faults at once. */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const values = readValues(environment);
  const faults = [...settingFaults(values), ...shellFaults(values.AGENT3_SHELL)];
  if (faults.length > 0 || !Value.Check(settingsSchema, values)) throw new ConfigError(faults);
  return Object.freeze({
    token: values.AGENT3_API_TOKEN,
    host: values.AGENT3_HOST,
    port: values.AGENT3_PORT,
    sessionsDirectory: resolve(values.AGENT3_SESSIONS_DIR),
    shell: values.AGENT3_SHELL,
    replySeconds: values.AGENT3_REPLY_SECONDS,
    maxExecSeconds: values.AGENT3_MAX_EXEC_SECONDS,
    killGraceSeconds: values.AGENT3_KILL_GRACE_SECONDS,
    maxOutputBytes: values.AGENT3_MAX_OUTPUT_BYTES,
    maxReplyChars: values.AGENT3_MAX_REPLY_CHARS,
    maxSessionBytes: values.AGENT3_MAX_SESSION_BYTES,
    maxSessionsBytes: values.AGENT3_MAX_SESSIONS_BYTES,
    sessionTtlSeconds: values.AGENT3_SESSION_TTL_SECONDS,
    maxRunning: values.AGENT3_MAX_RUNNING,
    logLevel: values.AGENT3_LOG_LEVEL,
    unknownNames: Object.keys(environment).filter((name) => name.startsWith('AGENT3_') && !isKnown(name)),
  });
}

/** The environment of this process: the only place that reads it. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

function isKnown(name: string): boolean {
  return name in settingsSchema.properties || OTHER_NAMES.has(name);
}

/** The given text of each setting, numbers as numbers where they are; the default where nothing is given. */
function readValues(environment: Readonly<Record<string, string | undefined>>): Record<SettingName, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(settingsSchema.properties)) {
    const text = environment[name];
    const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
    if (text === undefined || text === '') values[name] = schema.default;
    else values[name] = isNumber ? asNumber(text) : text;
  }
  if (!environment['AGENT3_SHELL']) values['AGENT3_SHELL'] = defaultShell();
  return values as Record<SettingName, unknown>;
}

/** A number in plain decimal notation; anything else stays the text that the error then shows. */
function asNumber(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
}

/** Models write bash; where it is not installed, the shell that every system has. */
function defaultShell(): string {
  return existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
}

function settingFaults(values: Record<SettingName, unknown>): string[] {
  const faults: string[] = [];
  for (const [name, schema] of Object.entries(settingsSchema.properties)) {
    const value = values[name as SettingName];
    if (Value.Check(schema, value)) continue;
    faults.push(
      name === 'AGENT3_API_TOKEN'
        ? tokenFault(value)
        : `${name} must be ${describeSchema(schema)}, not ${preview(value)}`,
    );
  }
  return faults;
}

/** The token's own faults are told without the token. */
function tokenFault(value: unknown): string {
  if (value === undefined)
    return 'AGENT3_API_TOKEN is not set: it is the token that clients send. Make one with: agent3 token';
  const length = String(value).length;
  if (length < MIN_TOKEN_CHARS) {
    return `AGENT3_API_TOKEN must have at least ${MIN_TOKEN_CHARS} characters, not ${length}. Make one with: agent3 token`;
  }
  return 'AGENT3_API_TOKEN must be 16 to 512 printable ASCII characters without spaces. Make one with: agent3 token';
}

function shellFaults(shell: unknown): string[] {
  if (typeof shell !== 'string') return [];
  if (!isAbsolute(shell)) return [`AGENT3_SHELL must be an absolute path, not ${preview(shell)}`];
  try {
    accessSync(shell, constants.X_OK);
    return [];
  } catch {
    return [`AGENT3_SHELL must be a program that can be executed, and ${preview(shell)} is not`];
  }
}
