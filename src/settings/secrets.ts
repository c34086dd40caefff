import { SETTING_ROWS, type SecretKey, type SettingValues } from './settings.ts';

const SECRET_ROWS = SETTING_ROWS.filter(([, { isSecret }]) => isSecret);

/** The settings that must not be seen anywhere. */
export const SECRET_SETTINGS: ReadonlySet<string> = new Set(SECRET_ROWS.map(([name]) => name));

/** The values that must not be seen anywhere. */
export function secretValues(values: Pick<SettingValues, SecretKey>): string[] {
  const all: Readonly<Record<string, unknown>> = { ...values };
  return SECRET_ROWS.map(([, { key }]) => all[key]).filter((value) => typeof value === 'string');
}

/** The text of a settings file for a reader: without the secrets, also those that are commented out. */
export function hideSecretSettings(text: string): string {
  const names = [...SECRET_SETTINGS].join('|');
  return text.replace(new RegExp(`^([#\\s]*(?:export\\s+)?(?:${names})\\s*=).+$`, 'gm'), '$1(a secret)');
}
