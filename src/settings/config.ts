import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { KindGuard, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AddressList } from '../lib/address-list.ts';
import { MIN_TOKEN_CHARS } from '../lib/limits.ts';
import { describeSchema, preview } from '../lib/schema-words.ts';
import { webhookKey } from '../lib/webhook-secret.ts';
import { type LOG_LEVELS, settingsSchema } from './settings.ts';

type SettingName = keyof Static<typeof settingsSchema>;

/**
 * The original's second variable: accepted and unused. `AGENT3_SESSION` marks an agent that was started by a command of
 * another; the schedule is the watchdog's, the URL is for `agent3 exec`.
 */
const OTHER_NAMES: ReadonlySet<string> = new Set([
  'AGENT3_TOKEN',
  'AGENT3_SESSION',
  'AGENT3_WATCHDOG_SCHEDULE',
  'AGENT3_URL',
]);

/** Where certificate and key lie, as PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** The settings in force, in the units their names tell. */
export interface Config {
  readonly token: string;
  /** Absolute; undefined: no other token than `token`. */
  readonly tokensFile: string | undefined;
  /** Of `token`. */
  readonly profile: string;
  /** Absolute; undefined: commands that need approval are denied. */
  readonly approvalsDirectory: string | undefined;
  /** Whom to tell of commands that wait for approval. */
  readonly notify: { readonly url: string; readonly secret: string } | undefined;
  /** Absolute; undefined: only the built-in profiles. */
  readonly profilesDirectory: string | undefined;
  /** Undefined: the metrics are for this machine alone. */
  readonly metricsToken: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Absolute. */
  readonly sessionsDirectory: string;
  /** Absolute, and executable when the agent started. */
  readonly shell: string;
  readonly replySeconds: number;
  readonly maxExecSeconds: number;
  /** 0: nothing runs in the background. */
  readonly maxBackgroundSeconds: number;
  readonly onTimeout: 'kill' | 'background';
  readonly killGraceSeconds: number;
  readonly maxOutputBytes: number;
  readonly maxReplyChars: number;
  readonly maxSessionBytes: number;
  readonly maxSessionsBytes: number;
  readonly sessionTtlSeconds: number;
  readonly maxRunning: number;
  readonly maxRunningPerToken: number;
  /** With one token. */
  readonly maxRequestsPerMinute: number;
  /** Absolute; undefined: commands share the agent's. */
  readonly cgroup: string | undefined;
  /** For each command; they need `cgroup`. */
  readonly commandCeilings: {
    readonly memoryBytes: number | undefined;
    readonly processes: number | undefined;
    readonly cpuPercent: number | undefined;
  };
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Absolute; undefined: nothing is recorded. */
  readonly auditFile: string | undefined;
  /** Undefined: its lines have no MAC. */
  readonly auditKey: string | undefined;
  /** Absolute; undefined: standard error. */
  readonly logFile: string | undefined;
  /** Absolute paths; undefined: plain HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly trustedProxies: AddressList;
  /** Without a slash at its end. */
  readonly publicUrl: string | undefined;
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
  const proxies = AddressList.parse(String(values.AGENT3_TRUSTED_PROXIES ?? ''));
  const faults = [
    ...settingFaults(values),
    ...shellFaults(values.AGENT3_SHELL),
    ...tlsFaults(values),
    ...notifyFaults(values),
    ...proxies.faults.map((fault) => `AGENT3_TRUSTED_PROXIES: ${fault}`),
  ];
  if (faults.length > 0 || !Value.Check(settingsSchema, values)) throw new ConfigError(faults);
  return Object.freeze({
    token: values.AGENT3_API_TOKEN,
    tokensFile: values.AGENT3_TOKENS_FILE === undefined ? undefined : resolve(values.AGENT3_TOKENS_FILE),
    profile: values.AGENT3_PROFILE,
    profilesDirectory: values.AGENT3_PROFILES_DIR === undefined ? undefined : resolve(values.AGENT3_PROFILES_DIR),
    approvalsDirectory: values.AGENT3_APPROVALS_DIR === undefined ? undefined : resolve(values.AGENT3_APPROVALS_DIR),
    notify: notifyTarget(values.AGENT3_NOTIFY_URL, values.AGENT3_NOTIFY_SECRET),
    metricsToken: values.AGENT3_METRICS_TOKEN,
    host: values.AGENT3_HOST,
    port: values.AGENT3_PORT,
    sessionsDirectory: resolve(values.AGENT3_SESSIONS_DIR),
    shell: values.AGENT3_SHELL,
    replySeconds: values.AGENT3_REPLY_SECONDS,
    maxExecSeconds: values.AGENT3_MAX_EXEC_SECONDS,
    maxBackgroundSeconds: values.AGENT3_MAX_BACKGROUND_SECONDS,
    onTimeout: values.AGENT3_ON_TIMEOUT,
    killGraceSeconds: values.AGENT3_KILL_GRACE_SECONDS,
    maxOutputBytes: values.AGENT3_MAX_OUTPUT_BYTES,
    maxReplyChars: values.AGENT3_MAX_REPLY_CHARS,
    maxSessionBytes: values.AGENT3_MAX_SESSION_BYTES,
    maxSessionsBytes: values.AGENT3_MAX_SESSIONS_BYTES,
    sessionTtlSeconds: values.AGENT3_SESSION_TTL_SECONDS,
    maxRunning: values.AGENT3_MAX_RUNNING,
    maxRunningPerToken: values.AGENT3_MAX_RUNNING_PER_TOKEN ?? values.AGENT3_MAX_RUNNING,
    maxRequestsPerMinute: values.AGENT3_MAX_REQUESTS_PER_MINUTE,
    cgroup: values.AGENT3_CGROUP === undefined ? undefined : resolve(values.AGENT3_CGROUP),
    commandCeilings: {
      memoryBytes: values.AGENT3_COMMAND_MEMORY_BYTES,
      processes: values.AGENT3_COMMAND_PROCESSES,
      cpuPercent: values.AGENT3_COMMAND_CPU_PERCENT,
    },
    logLevel: values.AGENT3_LOG_LEVEL,
    auditFile: values.AGENT3_AUDIT_FILE === undefined ? undefined : resolve(values.AGENT3_AUDIT_FILE),
    auditKey: values.AGENT3_AUDIT_KEY,
    logFile: values.AGENT3_LOG_FILE === undefined ? undefined : resolve(values.AGENT3_LOG_FILE),
    tls: tlsFiles(values.AGENT3_TLS_CERT, values.AGENT3_TLS_KEY),
    trustedProxies: proxies.list,
    publicUrl: values.AGENT3_PUBLIC_URL?.replace(/\/$/, ''),
    unknownNames: Object.keys(environment).filter((name) => name.startsWith('AGENT3_') && !isKnown(name)),
  });
}

/** The environment of this process: the only place that reads it. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** What systemd told this process of itself (sd_notify(3), sd_watchdog_enabled(3)). */
export interface ServiceManager {
  /** Path, or abstract name after `@`; undefined when nobody listens. */
  readonly notifySocket: string | undefined;
  /** A sign of life is due within this time; undefined when nobody waits for one. */
  readonly watchdogMs: number | undefined;
}

/** Reads what systemd put into `environment` for the process `pid`. */
export function serviceManager(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number = process.pid,
): ServiceManager {
  const microseconds = Number(environment['WATCHDOG_USEC']);
  const forUs = environment['WATCHDOG_PID'] === undefined || Number(environment['WATCHDOG_PID']) === pid;
  return {
    notifySocket: environment['NOTIFY_SOCKET'] || undefined,
    watchdogMs: microseconds > 0 && forUs ? microseconds / 1000 : undefined,
  };
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

function tlsFiles(cert: string | undefined, key: string | undefined): TlsFiles | undefined {
  return cert === undefined || key === undefined ? undefined : { cert: resolve(cert), key: resolve(key) };
}

function tlsFaults({ AGENT3_TLS_CERT: cert, AGENT3_TLS_KEY: key }: Record<SettingName, unknown>): string[] {
  if ((cert === undefined) === (key === undefined)) return [];
  return ['AGENT3_TLS_CERT and AGENT3_TLS_KEY belong together: set both, or none'];
}

function notifyTarget(url: string | undefined, secret: string | undefined): Config['notify'] {
  return url === undefined || secret === undefined ? undefined : { url, secret };
}

function notifyFaults({
  AGENT3_NOTIFY_URL: url,
  AGENT3_NOTIFY_SECRET: secret,
}: Record<SettingName, unknown>): string[] {
  if ((url === undefined) !== (secret === undefined))
    return ['AGENT3_NOTIFY_URL and AGENT3_NOTIFY_SECRET belong together: set both, or none'];
  if (typeof secret !== 'string' || webhookKey(secret) !== undefined) return [];
  return [
    'AGENT3_NOTIFY_SECRET must be, behind whsec_, the Base64 of 24 to 64 bytes. Make one with: echo whsec_$(openssl rand -base64 32)',
  ];
}

function settingFaults(values: Record<SettingName, unknown>): string[] {
  const faults: string[] = [];
  for (const [name, schema] of Object.entries(settingsSchema.properties)) {
    const value = values[name as SettingName];
    if (Value.Check(schema, value) || (value === undefined && KindGuard.IsOptional(schema))) continue;
    if (typeof value === 'string' && value.includes('\n')) {
      faults.push(`${name} goes over several lines: a quote in the settings, there or above, is not closed`);
      continue;
    }
    faults.push(
      SECRETS.has(name)
        ? tokenFault(name, value, schema['minLength'])
        : `${name} must be ${describeSchema(schema)}, not ${preview(value)}`,
    );
  }
  return faults;
}

const SECRETS: ReadonlySet<string> = new Set([
  'AGENT3_API_TOKEN',
  'AGENT3_METRICS_TOKEN',
  'AGENT3_NOTIFY_SECRET',
  'AGENT3_AUDIT_KEY',
]);

/** The token's own faults are told without the token. */
function tokenFault(name: string, value: unknown, leastChars = MIN_TOKEN_CHARS): string {
  if (value === undefined)
    return 'AGENT3_API_TOKEN is not set: it is the token that clients send. Make one with: agent3 token';
  const length = String(value).length;
  if (length < leastChars) {
    return `${name} must have at least ${leastChars} characters, not ${length}. Make one with: agent3 token`;
  }
  return `${name} must be ${leastChars} to 512 printable ASCII characters without spaces. Make one with: agent3 token`;
}

function shellFaults(shell: unknown): string[] {
  if (typeof shell !== 'string') return [];
  if (!isAbsolute(shell)) return [`AGENT3_SHELL must be an absolute path, not ${preview(shell)}`];
  try {
    accessSync(shell, constants.X_OK);
    if (statSync(shell).isFile()) return [];
    return [`AGENT3_SHELL must be a program, and ${preview(shell)} is a directory`];
  } catch {
    return [`AGENT3_SHELL must be a program that can be executed, and ${preview(shell)} is not`];
  }
}
