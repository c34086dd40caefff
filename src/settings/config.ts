import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { KindGuard, type Static, type TObject } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { AddressList, plainOrigin } from '../lib/addresses.ts';
import { describeSchema, preview } from '../lib/describe-schema.ts';
import { ANY_URL, HOST_URL, MIN_TOKEN_CHARS, ORIGINS } from '../lib/limits.ts';
import { webhookKey } from '../lib/token.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './table.ts';

type Table = typeof SETTINGS;
type SettingName = keyof Table;
type Schemas = { [Name in SettingName]: Table[Name]['schema'] };
type ValuesByName = Static<TObject<Schemas>>;

/** The values of the settings by their keys. */
type SettingValues = { readonly [Name in SettingName as Table[Name]['key']]: ValuesByName[Name] };

/** The keys of secret settings. */
type SecretKey = {
  [Name in SettingName]: Table[Name] extends { isSecret: true } ? Table[Name]['key'] : never;
}[SettingName];

export const SETTING_ROWS: readonly (readonly [SettingName, Setting])[] = Object.entries(SETTINGS) as [
  SettingName,
  Setting,
][];

/** Other variables that begin with AGENT3_. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  AGENT3_TOKEN: "The Flask agent's second variable: accepted and unused.",
  AGENT3_SESSION: 'Marks the processes of a command.',
  AGENT3_WATCHDOG_SCHEDULE: 'When `agent3 watchdog` without `--once` checks; the systemd timer has its own schedule.',
  AGENT3_URL: 'URL of the agent that `agent3 exec` and `agent3 session` call.',
};

/** Returns true when the agent or one of its programs reads this variable. */
export function isKnownVariable(name: string): boolean {
  return Object.hasOwn(SETTINGS, name) || Object.hasOwn(OTHER_VARIABLES, name);
}

const SECRET_ROWS = SETTING_ROWS.filter(([, { isSecret }]) => isSecret);

/** The names of secret settings. */
export const SECRET_SETTINGS: ReadonlySet<string> = new Set(SECRET_ROWS.map(([name]) => name));

/** Returns the values of secret settings. */
export function secretValues(values: Pick<SettingValues, SecretKey>): string[] {
  const all: Readonly<Record<string, unknown>> = { ...values };
  return SECRET_ROWS.map(([, { key }]) => all[key]).filter((value) => typeof value === 'string');
}

/** Returns the text of a settings file without secrets, also without those in comments. */
export function hideSecretSettings(text: string): string {
  const names = [...SECRET_SETTINGS].join('|');
  return text.replace(new RegExp(`^([#\\s]*(?:export\\s+)?(?:${names})\\s*=).+$`, 'gm'), '$1(a secret)');
}

/** The valid settings, in the units of their names. */
export interface Config extends Omit<SettingValues, 'maxRunningPerToken' | 'trustedProxies' | 'allowedOrigins'> {
  readonly maxRunningPerToken: number;
  readonly trustedProxies: AddressList;
  readonly allowedOrigins: readonly string[];
  /** Unknown variables that begin with AGENT3_, probably misspelt. */
  readonly unknownNames: readonly string[];
}

/** The settings have faults: one sentence for each, which never shows the token. */
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
    ...originFaults(values),
    ...proxies.faults.map((fault) => `AGENT3_TRUSTED_PROXIES: ${fault}`),
  ];
  if (faults.length > 0) throw new ConfigError(faults);
  const checked = byKey(values);
  return Object.freeze({
    ...checked,
    maxRunningPerToken: checked.maxRunningPerToken ?? checked.maxRunning,
    trustedProxies: proxies.list,
    allowedOrigins: (checked.allowedOrigins ?? '').split(',').filter((origin) => origin !== ''),
    publicUrl: checked.publicUrl === undefined ? undefined : plainOrigin(checked.publicUrl),
    consoleOrigin: checked.consoleOrigin === undefined ? undefined : plainOrigin(checked.consoleOrigin),
    unknownNames: Object.keys(environment).filter((name) => name.startsWith('AGENT3_') && !isKnownVariable(name)),
  });
}

function byKey(values: Record<SettingName, unknown>): SettingValues {
  const entries = SETTING_ROWS.map(([name, { key, schema }]) => {
    const value = values[name];
    return [key, schema['isPath'] === true && typeof value === 'string' ? resolve(value) : value];
  });
  return Object.fromEntries(entries) as SettingValues;
}

/** Returns the value of each setting: the given text, a number if it is one, or the default. */
function readValues(environment: Readonly<Record<string, string | undefined>>): Record<SettingName, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, { schema }] of SETTING_ROWS) {
    const text = environment[name];
    const isNumber = schema['type'] === 'number' || schema['type'] === 'integer';
    if (text === undefined || text === '') values[name] = schema['default'];
    else values[name] = isNumber ? asNumber(text) : text;
  }
  if (!environment['AGENT3_SHELL']) values['AGENT3_SHELL'] = defaultShell();
  return values as Record<SettingName, unknown>;
}

/** Parses a plain decimal number. Other texts stay as they are, for the error. */
function asNumber(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
}

/** Bash, which models write, or /bin/sh when it is not installed. */
function defaultShell(): string {
  return existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
}

function tlsFaults({ AGENT3_TLS_CERT: cert, AGENT3_TLS_KEY: key }: Record<SettingName, unknown>): string[] {
  if ((cert === undefined) === (key === undefined)) return [];
  return ['AGENT3_TLS_CERT and AGENT3_TLS_KEY belong together: set both, or none'];
}

function notifyFaults({
  AGENT3_NOTIFY_URL: url,
  AGENT3_NOTIFY_SECRET: secret,
}: Record<SettingName, unknown>): string[] {
  if ((url === undefined) !== (secret === undefined))
    return ['AGENT3_NOTIFY_URL and AGENT3_NOTIFY_SECRET belong together: set both, or none'];
  if (typeof secret !== 'string' || webhookKey(secret) !== undefined) return [];
  return [
    'AGENT3_NOTIFY_SECRET must be whsec_ and the Base64 of 24 to 64 bytes. Make one with: echo whsec_$(openssl rand -base64 32)',
  ];
}

/** With the same origin, a page of the agent, and so a command, could ask for the owner's signature. */
function originFaults({ AGENT3_CONSOLE_ORIGIN: own, AGENT3_PUBLIC_URL: url }: Record<SettingName, unknown>): string[] {
  if (typeof own !== 'string' || typeof url !== 'string' || plainOrigin(own) !== plainOrigin(url)) return [];
  return ['AGENT3_CONSOLE_ORIGIN must not be AGENT3_PUBLIC_URL: the console needs another name, or another port'];
}

/** Returns why `agent3 serve` would refuse these settings, a sentence each; missing ones are not checked. */
export function faultsOfSettings(
  environment: Readonly<Record<string, string | undefined>>,
  names: readonly SettingName[],
): string[] {
  const values = readValues(environment);
  return settingFaults(
    values,
    SETTING_ROWS.filter(([name]) => names.includes(name)),
  );
}

function settingFaults(values: Record<SettingName, unknown>, rows = SETTING_ROWS): string[] {
  const faults: string[] = [];
  for (const [name, { schema, isSecret }] of rows) {
    const value = values[name];
    const isAllowed: boolean = Value.Check(schema, value) && isParsed(schema['pattern'], value);
    if (isAllowed || (value === undefined && KindGuard.IsOptional(schema))) continue;
    if (typeof value === 'string' && value.includes('\n')) {
      faults.push(`${name} spans several lines: a quote in the settings, there or above, is not closed`);
      continue;
    }
    faults.push(
      isSecret
        ? tokenFault(name, value, schema['minLength'])
        : `${name} must be ${describeSchema(schema)}${isCandid(schema['pattern'], value) ? `, not ${preview(value)}` : ''}`,
    );
  }
  return faults;
}

/** The fault is in the journal, where a password in a URL has no place. */
function isCandid(pattern: unknown, value: unknown): boolean {
  return pattern !== ANY_URL && !String(value).includes('@');
}

/** A pattern does not find every fault of a URL, such as an open bracket. */
function isParsed(pattern: unknown, value: unknown): boolean {
  if (typeof value !== 'string' || ![HOST_URL, ORIGINS, ANY_URL].includes(String(pattern))) return true;
  return (pattern === ORIGINS ? value.split(',') : [value]).every((url) => URL.canParse(url));
}

/** Describes a fault of the token without showing it. */
function tokenFault(name: string, value: unknown, leastChars = MIN_TOKEN_CHARS): string {
  if (value === undefined)
    return 'AGENT3_API_TOKEN is not set: it is the token that clients send. Make one with: agent3 token new';
  const length = String(value).length;
  if (length < leastChars) {
    return `${name} must have at least ${leastChars} characters, not ${length}. Make one with: agent3 token new`;
  }
  return `${name} must be ${leastChars} to 512 printable ASCII characters without spaces. Make one with: agent3 token new`;
}

function shellFaults(shell: unknown): string[] {
  if (typeof shell !== 'string') return [];
  if (!isAbsolute(shell)) return [`AGENT3_SHELL must be an absolute path, not ${preview(shell)}`];
  try {
    accessSync(shell, constants.X_OK);
    if (statSync(shell).isFile()) return [];
    return [`AGENT3_SHELL must be a program, but ${preview(shell)} is a directory`];
  } catch {
    return [`AGENT3_SHELL must be an executable program, but ${preview(shell)} is not`];
  }
}
