import { AddressList } from '../lib/addresses.ts';
import { faultsOfSettings, SETTING_ROWS } from '../settings/config.ts';
import { CONSOLE_SETTINGS } from '../settings/console.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Name = keyof typeof CONSOLE_SETTINGS;

const NAMES = Object.keys(CONSOLE_SETTINGS) as Name[];

/** The settings of `agent3 console serve`. */
export interface ConsoleConfig {
  readonly directory: string;
  readonly key: string;
  readonly socket: string;
  readonly origin: string;
  /** `host:port` of loopback, or the path of a unix socket. */
  readonly listen: string;
  readonly answers: string;
  readonly passkeysFile: string;
  readonly trustedProxies: AddressList;
}

/** Returns a setting of the console or its default; undefined when it has no default. */
export function consoleSetting(environment: Environment, name: Name): string | undefined {
  const { schema } = SETTING_ROWS.find(([row]) => row === name)?.[1] ?? {};
  return environment[name] || (schema?.['default'] as string | undefined);
}

/** Reads the settings. Returns a sentence for each that is wrong or missing. */
export function readConsoleConfig(environment: Environment): ConsoleConfig | readonly string[] {
  const proxies = AddressList.parse(environment['AGENT3_TRUSTED_PROXIES'] ?? '');
  const value = (name: Name): string => consoleSetting(environment, name) ?? '';
  const missing = NAMES.filter((name) => value(name) === '').map(
    (name) => `${name} is not set: the agent and its console need the same value`,
  );
  const faults = [...faultsOfSettings(environment, NAMES), ...missing];
  if (faults.length > 0) return faults;
  return {
    directory: value('AGENT3_CONSOLE_DIR'),
    key: value('AGENT3_CONSOLE_KEY'),
    socket: value('AGENT3_CONSOLE_SOCKET'),
    origin: new URL(value('AGENT3_CONSOLE_ORIGIN')).origin,
    listen: value('AGENT3_CONSOLE_LISTEN'),
    answers: value('AGENT3_CONSOLE_ANSWERS'),
    passkeysFile: value('AGENT3_PASSKEYS_FILE'),
    trustedProxies: proxies.list,
  };
}
