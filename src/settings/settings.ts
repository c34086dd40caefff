import type { Static, TObject } from '@sinclair/typebox';
import { SETTINGS, type Setting } from './table.ts';

type Table = typeof SETTINGS;
export type SettingName = keyof Table;
type Schemas = { [Name in SettingName]: Table[Name]['schema'] };
type ValuesByName = Static<TObject<Schemas>>;

/** The values of the settings by their keys. */
export type SettingValues = { readonly [Name in SettingName as Table[Name]['key']]: ValuesByName[Name] };

/** The keys of the settings that must not be seen anywhere. */
export type SecretKey = {
  [Name in SettingName]: Table[Name] extends { isSecret: true } ? Table[Name]['key'] : never;
}[SettingName];

/** The rows of the table. */
export const SETTING_ROWS: readonly (readonly [SettingName, Setting])[] = Object.entries(SETTINGS) as [
  SettingName,
  Setting,
][];

/** Variables of the same kind that are no settings of `agent3 serve`. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  AGENT3_TOKEN: "The Flask agent's second variable: accepted and unused.",
  AGENT3_SESSION: 'Marks the processes of a command, and with them an agent that a command has started.',
  AGENT3_WATCHDOG_SCHEDULE: 'When `agent3 watchdog` without `--once` checks; the systemd timer has its own schedule.',
  AGENT3_URL: 'The agent that `agent3 exec` and `agent3 session` call.',
};

/** Whether the agent, or a program of its own, reads this variable. */
export function isKnownVariable(name: string): boolean {
  return Object.hasOwn(SETTINGS, name) || Object.hasOwn(OTHER_VARIABLES, name);
}
