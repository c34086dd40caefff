import { Type } from '@sinclair/typebox';
import { MIN_KEY_CHARS, MIN_OUTPUT_BYTES, MIN_TOKEN_CHARS, ORIGINS } from '../lib/limits.ts';
import { CONSOLE_SETTINGS } from './console.ts';
import { FLEET_SETTINGS } from './fleet.ts';
import { PATH, PATH_OPTIONS, type Setting, secretText, URL_OF_HOST, URL_WITH_PATH } from './setting.ts';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const GIB = 1_073_741_824;

/**
 * Every setting. The only source of `Config`, the checks, `agent3 serve --help`, `ops/agent3.env.example`, the table of
 * `ops/docs/settings.md`, and of what is erased and masked. After a change: `bun ops/settings-docs.ts`.
 */
export const SETTINGS = {
  AGENT3_API_TOKEN: {
    key: 'token',
    schema: secretText(MIN_TOKEN_CHARS),
    about:
      'The token that clients send: 16 to 512 printable ASCII characters without spaces. Make one with `agent3 token new`.',
    otherwise: 'required',
    isSecret: true,
    isInstalled: true,
  },
  AGENT3_HOST: {
    key: 'host',
    schema: Type.String({ minLength: 1, maxLength: 255, default: '127.0.0.1' }),
    about: 'Address to listen on. Keep it on loopback, with HTTPS in front.',
    isInstalled: true,
  },
  AGENT3_PORT: {
    key: 'port',
    schema: Type.Integer({ minimum: 0, maximum: 65_535, default: 5000 }),
    about: 'Port to listen on. 0 takes a free port, which is in the log.',
    isInstalled: true,
  },
  AGENT3_PROFILE: {
    key: 'profile',
    schema: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,63}$', default: 'full' }),
    about: 'Profile of `AGENT3_API_TOKEN`: what it may do.',
  },
  AGENT3_METRICS_TOKEN: {
    key: 'metricsToken',
    schema: Type.Optional(secretText(MIN_TOKEN_CHARS)),
    about: 'Token for `/metrics`. Without it, `/metrics` only answers this machine.',
    isSecret: true,
  },
  AGENT3_TLS_CERT: {
    key: 'tlsCert',
    schema: Type.Optional(PATH),
    about:
      'Certificate chain (PEM): the agent then speaks HTTPS itself. Read again on SIGHUP (`systemctl reload agent3`).',
    example: '/etc/agent3/cert.pem',
  },
  AGENT3_TLS_KEY: {
    key: 'tlsKey',
    schema: Type.Optional(PATH),
    about: 'Private key (PEM) of `AGENT3_TLS_CERT`. The user of the agent must be able to read it.',
    example: '/etc/agent3/key.pem',
  },
  AGENT3_PUBLIC_URL: {
    key: 'publicUrl',
    schema: Type.Optional(URL_OF_HOST),
    about:
      'URL at which clients reach the agent, for its OpenAPI document, the check of `Origin`, and the sign-in of ChatGPT, Claude and other MCP clients, which needs `https`.',
    otherwise: 'that of the request; no sign-in',
    example: 'https://agent.example.org',
  },
  AGENT3_ALLOWED_ORIGINS: {
    key: 'allowedOrigins',
    schema: Type.Optional(Type.String({ pattern: ORIGINS, maxLength: 4000 })),
    about: 'More web pages that may use `/mcp`: origins, separated by commas.',
    otherwise: 'this server, this machine, ChatGPT and Claude',
    example: 'https://chat.example.org',
  },
  AGENT3_TRUSTED_PROXIES: {
    key: 'trustedProxies',
    schema: Type.Optional(Type.String({ minLength: 1, maxLength: 4000 })),
    about: 'Proxies whose `X-Forwarded-For` is trusted: addresses or networks, separated by commas.',
    example: '127.0.0.1,::1',
  },
  AGENT3_NOTIFY_URL: {
    key: 'notifyUrl',
    schema: Type.Optional(URL_WITH_PATH),
    about:
      'URL for webhook notifications (POST): approval requests and decisions, freeze and thaw, and sign-ins whose token may have been stolen.',
  },
  AGENT3_NOTIFY_SECRET: {
    key: 'notifySecret',
    schema: Type.Optional(secretText(MIN_TOKEN_CHARS)),
    about:
      'Key that signs the notifications, required with `AGENT3_NOTIFY_URL`. `whsec_` and Base64 (`echo whsec_$(openssl rand -base64 32)`), or 16 to 512 characters.',
    isSecret: true,
  },
  AGENT3_AUDIT_KEY: {
    key: 'auditKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Key that seals each line of the audit record, so that nobody else can add one: 32 to 512 characters. The installer makes it. Before you change it, move the old record away.',
    isSecret: true,
    isInstalled: true,
  },
  AGENT3_GRANT_KEY: {
    key: 'grantKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Key that seals what `agent3 connect` allows, and makes the tokens of clients that sign in: 32 to 512 characters. The installer makes it. Another key ends every sign-in.',
    isSecret: true,
    isInstalled: true,
  },
  AGENT3_PUSH_KEY: {
    key: 'pushKey',
    schema: Type.Optional(secretText(MIN_KEY_CHARS)),
    about:
      'Key that signs push notifications of the console: 32 to 512 characters. The installer makes it. With another key, each device must turn on notifications again.',
    isSecret: true,
    isInstalled: true,
  },
  AGENT3_SHELL: {
    key: 'shell',
    schema: Type.String({ minLength: 1, maxLength: 3000 }),
    about: 'Shell that runs commands, called with `-c -- COMMAND`.',
    otherwise: '`/bin/bash`, else `/bin/sh`',
    example: '/bin/bash',
  },
  AGENT3_REPLY_SECONDS: {
    key: 'replySeconds',
    schema: Type.Number({ minimum: 0.5, maximum: 200, default: 40 }),
    about: 'Every answer leaves within this time.',
  },
  AGENT3_MAX_EXEC_SECONDS: {
    key: 'maxExecSeconds',
    schema: Type.Number({ minimum: 0.1, maximum: 86_400, default: 45 }),
    about: 'Time limit of a command of `POST /` that names no `timeout`.',
  },
  AGENT3_MAX_BACKGROUND_SECONDS: {
    key: 'maxBackgroundSeconds',
    schema: Type.Number({ minimum: 0, maximum: 2_592_000, default: 3600 }),
    about:
      'Time limit of any other command, and the largest `timeout`. 0 forbids background commands, and `AGENT3_MAX_EXEC_SECONDS` applies to all.',
  },
  AGENT3_ON_TIMEOUT: {
    key: 'onTimeout',
    schema: Type.Union([Type.Literal('kill'), Type.Literal('background')], { default: 'kill' }),
    about: 'What happens to a command of `POST /` without a `timeout` at its limit: `kill` or `background`.',
  },
  AGENT3_KILL_GRACE_SECONDS: {
    key: 'killGraceSeconds',
    schema: Type.Number({ minimum: 0, maximum: 60, default: 2 }),
    about: 'Time between SIGTERM and SIGKILL.',
  },
  AGENT3_MAX_OUTPUT_BYTES: {
    key: 'maxOutputBytes',
    schema: Type.Integer({ minimum: MIN_OUTPUT_BYTES, maximum: 10_485_760, default: 92_160 }),
    about: 'Output in one answer, both streams together.',
  },
  AGENT3_MAX_REPLY_CHARS: {
    key: 'maxReplyChars',
    schema: Type.Integer({ minimum: 5000, maximum: 100_000_000, default: 100_000 }),
    about: 'Every answer has fewer characters of JSON than this.',
  },
  AGENT3_MAX_SESSION_BYTES: {
    key: 'maxSessionBytes',
    schema: Type.Integer({ minimum: 65_536, maximum: 1024 * GIB, default: GIB }),
    about: 'Output of one session on disk, with reserved space.',
  },
  AGENT3_MAX_SESSIONS_BYTES: {
    key: 'maxSessionsBytes',
    schema: Type.Integer({ minimum: 65_536, maximum: 1024 * GIB, default: 5 * GIB }),
    about: 'Size of all sessions on disk. Above it, the token with the most loses its oldest ended sessions first.',
  },
  AGENT3_MAX_TRANSFER_BYTES: {
    key: 'maxTransferBytes',
    schema: Type.Integer({ minimum: 1024, maximum: 1024 * GIB, default: 4 * GIB }),
    about: 'Largest file that `upload`, `download` or `agent3 cp` transfers.',
  },
  AGENT3_SESSION_TTL_SECONDS: {
    key: 'sessionTtlSeconds',
    schema: Type.Integer({ minimum: 1, maximum: 31_536_000, default: 86_400 }),
    about: 'How long a session is kept after its end.',
  },
  AGENT3_MAX_RUNNING: {
    key: 'maxRunning',
    schema: Type.Integer({ minimum: 1, maximum: 10_000, default: 32 }),
    about:
      'Most commands at once. One token may use three quarters of them, several tokens share them equally. A further command waits up to 5 s for a slot.',
  },
  AGENT3_MAX_RUNNING_PER_TOKEN: {
    key: 'maxRunningPerToken',
    schema: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    about: 'Most commands of one token at once, when that is less than its share.',
    otherwise: 'its share',
  },
  AGENT3_MAX_REQUESTS_PER_MINUTE: {
    key: 'maxRequestsPerMinute',
    schema: Type.Integer({ minimum: 1, maximum: 100_000_000, default: 6000 }),
    about: 'Requests that one token may send in a minute, also all at once.',
  },
  AGENT3_COMMAND_MEMORY_BYTES: {
    key: 'commandMemoryBytes',
    schema: Type.Optional(Type.Integer({ minimum: 16_777_216, maximum: 1024 * GIB })),
    about:
      'Memory limit of one command with all its processes, without swap. Needs `AGENT3_CGROUP`, like the next two.',
    otherwise: '90 % of the limit of all commands',
  },
  AGENT3_COMMAND_PROCESSES: {
    key: 'commandProcesses',
    schema: Type.Optional(Type.Integer({ minimum: 8, maximum: 4_194_304 })),
    about: 'Most processes and threads of one command.',
    otherwise: 'half of the limit of all commands',
  },
  AGENT3_COMMAND_CPU_PERCENT: {
    key: 'commandCpuPercent',
    schema: Type.Optional(Type.Integer({ minimum: 1, maximum: 102_400 })),
    about: 'CPU limit of one command, in percent of one CPU.',
  },
  AGENT3_LOG_LEVEL: {
    key: 'logLevel',
    schema: Type.Union(
      LOG_LEVELS.map((level) => Type.Literal(level)),
      { default: 'info' },
    ),
    about: 'Lowest level to log: `fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`.',
  },
  AGENT3_LOG_FILE: {
    key: 'logFile',
    schema: Type.Optional(PATH),
    about: 'Log file. Opened again on SIGHUP, for logrotate.',
    otherwise: 'standard error',
    service: '/var/log/agent3/agent3.log',
  },
  AGENT3_AUDIT_FILE: {
    key: 'auditFile',
    schema: Type.Optional(PATH),
    about: 'File of the audit record: what was asked, run and decided, chained by hashes. Opened again on SIGHUP.',
    service: '/var/log/agent3/audit.jsonl',
  },
  AGENT3_SESSIONS_DIR: {
    key: 'sessionsDirectory',
    schema: Type.String({ ...PATH_OPTIONS, default: './sessions' }),
    about: 'Directory of sessions, for one agent at a time. It is created when missing.',
    service: '/var/lib/agent3/sessions',
  },
  AGENT3_TOKENS_FILE: {
    key: 'tokensFile',
    schema: Type.Optional(PATH),
    about: 'File of further tokens, which `agent3 token create` writes. Read again when it changes.',
    service: '/etc/agent3/tokens.json',
  },
  AGENT3_PROFILES_DIR: {
    key: 'profilesDirectory',
    schema: Type.Optional(PATH),
    about: 'Directory of further profiles, one TOML or JSON file each. Read again after changes.',
    service: '/etc/agent3/profiles.d',
  },
  AGENT3_APPROVALS_DIR: {
    key: 'approvalsDirectory',
    schema: Type.Optional(PATH),
    about:
      "Directory for the owner's decisions, written by `agent3 approval` and `agent3 freeze`. Only root may write to it, and the agent must be able to read it. Without it, commands that need approval are denied, and the agent cannot be frozen.",
    service: '/etc/agent3/approvals',
  },
  AGENT3_CGROUP: {
    key: 'cgroup',
    schema: Type.Optional(PATH),
    about: 'Directory of a cgroup (version 2) that belongs to the agent. Each command runs in its own cgroup below it.',
    service: '/sys/fs/cgroup/agent3.slice/agent3-commands.service',
  },
  ...CONSOLE_SETTINGS,
  ...FLEET_SETTINGS,
} as const satisfies Readonly<Record<`AGENT3_${string}`, Setting>>;
