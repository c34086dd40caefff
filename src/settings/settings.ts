import { Type } from '@sinclair/typebox';
import { MIN_KEY_CHARS, MIN_OUTPUT_BYTES, MIN_TOKEN_CHARS } from '../lib/limits.ts';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const GIB = 1_073_741_824;

/** PATH_MAX of Linux is 4096; what the agent appends must fit. */
function path(description: string) {
  return Type.String({ minLength: 1, maxLength: 3000, description });
}

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
  AGENT3_TOKENS_FILE: Type.Optional(
    path('File of more tokens, which `agent3 token create` and its like look after. Read anew when it changes.'),
  ),
  AGENT3_PROFILE: Type.String({
    pattern: '^[a-z0-9][a-z0-9_-]{0,63}$',
    default: 'full',
    description: 'Profile of the token of the settings: what its commands may do.',
  }),
  AGENT3_PROFILES_DIR: Type.Optional(
    path('Directory of more profiles, a file of TOML or JSON each. Read anew when one changes.'),
  ),
  AGENT3_APPROVALS_DIR: Type.Optional(
    path('Directory, of root alone, in which `agent3 approvals` leaves what a person has decided.'),
  ),
  AGENT3_NOTIFY_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s]+$',
      maxLength: 2000,
      description: 'Is told by POST of each command that waits for approval, and what became of it.',
    }),
  ),
  AGENT3_NOTIFY_SECRET: Type.Optional(
    Type.String({
      minLength: MIN_TOKEN_CHARS,
      maxLength: 512,
      pattern: '^[\\x21-\\x7e]*$',
      description: 'Secret that those messages are signed with, as Standard Webhooks say. Needed with the URL.',
    }),
  ),
  AGENT3_METRICS_TOKEN: Type.Optional(
    Type.String({
      minLength: MIN_TOKEN_CHARS,
      maxLength: 512,
      pattern: '^[\\x21-\\x7e]*$',
      description: 'Token of `/metrics`, which without it answers this machine alone.',
    }),
  ),
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
  AGENT3_MAX_BACKGROUND_SECONDS: Type.Number({
    minimum: 0,
    maximum: 2_592_000,
    default: 3600,
    description: 'Execution limit of a command in the background; 0 forbids it.',
  }),
  AGENT3_ON_TIMEOUT: Type.Union([Type.Literal('kill'), Type.Literal('background')], {
    default: 'kill',
    description: 'What happens at the `timeout` of a command that does not say it itself.',
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
    description: 'All sessions on disk; beyond it the token with the most loses its oldest ended ones first.',
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
    description:
      'Commands running at once. A token alone may use everything but a quarter, several an equal part each.',
  }),
  AGENT3_MAX_RUNNING_PER_TOKEN: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 10_000,
      description: 'Commands of one token running at once, where that is fewer than its share.',
    }),
  ),
  AGENT3_MAX_REQUESTS_PER_MINUTE: Type.Integer({
    minimum: 1,
    maximum: 100_000_000,
    default: 6000,
    description: 'Requests with one token in a minute, as many of them at once.',
  }),
  AGENT3_CGROUP: Type.Optional(
    path(
      'Directory of a cgroup (version 2) that belongs to the agent: each command then runs in one of its own below it. Set by the service.',
    ),
  ),
  AGENT3_COMMAND_MEMORY_BYTES: Type.Optional(
    Type.Integer({
      minimum: 16_777_216,
      maximum: 1024 * GIB,
      description: 'Memory of one command with all its processes. By default 90 % of what all commands have.',
    }),
  ),
  AGENT3_COMMAND_PROCESSES: Type.Optional(
    Type.Integer({
      minimum: 8,
      maximum: 4_194_304,
      description: 'Processes and threads of one command. By default half of what all commands have.',
    }),
  ),
  AGENT3_COMMAND_CPU_PERCENT: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 102_400,
      description: 'CPU time of one command, in per cent of one CPU. By default there is no limit.',
    }),
  ),
  AGENT3_LOG_LEVEL: Type.Union(
    LOG_LEVELS.map((level) => Type.Literal(level)),
    { default: 'info', description: 'Least level that is logged.' },
  ),
  AGENT3_LOG_FILE: Type.Optional(
    path('File that the log is appended to, instead of standard error. Opened anew on SIGHUP, for logrotate.'),
  ),
  AGENT3_AUDIT_FILE: Type.Optional(
    path('File of the audit record: what was asked, run and decided, chained by hashes. Opened anew on SIGHUP.'),
  ),
  AGENT3_AUDIT_KEY: Type.Optional(
    Type.String({
      minLength: MIN_KEY_CHARS,
      maxLength: 512,
      pattern: '^[\\x21-\\x7e]*$',
      description: 'Secret with which each line of that record is sealed, so that nobody without it can add one.',
    }),
  ),
  AGENT3_TLS_CERT: Type.Optional(
    path('Certificate chain (PEM): the agent then speaks HTTPS itself. Read anew on SIGHUP.'),
  ),
  AGENT3_TLS_KEY: Type.Optional(path('Private key (PEM) of AGENT3_TLS_CERT.')),
  AGENT3_PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^\\s/?#]+/?$',
      maxLength: 300,
      description:
        'URL that clients reach the agent by, for its OpenAPI document and the check of Origin. Without it, the one of the request.',
    }),
  ),
  AGENT3_TRUSTED_PROXIES: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4000,
      description:
        'Addresses or networks, separated by commas, whose X-Forwarded-For tells the client: `127.0.0.1,::1` behind a proxy on this machine.',
    }),
  ),
});
