import { join } from 'node:path';
import { INVENTORY } from '../src/install/inventory.ts';
import { OTHER_VARIABLES, SETTING_ROWS } from '../src/settings/config.ts';

/*
 * Generates documents from two tables of the source: `ops/agent3.env.example` and the table of `ops/docs/settings.md`, and
 * the table of what is added to a server in `ops/docs/install.md`. Run it after a change; tests compare them.
 */

const ROOT = join(import.meta.dir, '..');

/** Paths of the documents, from the top of the repository. */
export const SETTINGS_DOCS = {
  example: 'ops/agent3.env.example',
  settings: 'ops/docs/settings.md',
  inventory: 'ops/docs/install.md',
} as const;

const HEAD = `# Settings of Agent3. The installer keeps what you change here; after a change: systemctl restart agent3
# This file holds the token: it belongs to root, mode 0600. Quotes hold a value with spaces together.
`;

const SERVICE_HEAD = `
# The service sets the following. A line here takes its place.
`;

const SCHEDULE = 'AGENT3_WATCHDOG_SCHEDULE';
const SCHEDULE_DEFAULT = '*/5 * * * *';

/** Returns the example: each setting with its description. Settings with a default are comments. */
export function settingsExample(): string {
  const own = SETTING_ROWS.filter(([, { service }]) => service === undefined).map(
    ([name, { about, schema, example, isInstalled }]) =>
      `\n${comment(about)}${isInstalled ? '' : '#'}${name}=${example ?? schema['default'] ?? ''}\n`,
  );
  const ofService = SETTING_ROWS.filter(([, { service }]) => service !== undefined).map(
    ([name, { about, service }]) => `${comment(about)}#${name}=${service}\n`,
  );
  const schedule = `\n${comment(OTHER_VARIABLES[SCHEDULE] ?? '')}#${SCHEDULE}=${SCHEDULE_DEFAULT}\n`;
  return [HEAD, ...own, SERVICE_HEAD, ...ofService, schedule].join('');
}

/** Returns the table of settings. */
export function settingsTable(): string {
  const rows = SETTING_ROWS.map(([name, { about, schema, otherwise, service }]) => {
    const value: unknown = schema['default'];
    const shown = otherwise ?? (value === undefined ? 'none' : `\`${value}\``);
    return `| \`${name}\` | ${shown} | ${about}${service === undefined ? '' : ` The service has \`${service}\`.`} |`;
  });
  const schedule = `| \`${SCHEDULE}\` | \`${SCHEDULE_DEFAULT}\` | ${OTHER_VARIABLES[SCHEDULE]} |`;
  return ['| variable | default | meaning |', '| --- | --- | --- |', ...rows, schedule, ''].join('\n');
}

/** Returns a document with its table of settings replaced. */
export function withSettingsTable(document: string): string {
  return document.replace(/^\| variable \| default \| meaning \|\n(?:\|.*\n)+/m, () => settingsTable());
}

/** Returns the table of what is added to a server. */
export function inventoryTable(): string {
  const rows = INVENTORY.map(({ kind, name, what, when = 'always', goes = 'uninstall' }) => {
    const word = kind === 'user' ? 'user ' : kind === 'membership' ? 'groups of ' : '';
    return `| ${word}\`${name}\` | ${what} | ${when} | ${goes} |`;
  });
  return ['| added | what | when | goes with |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function withInventoryTable(document: string): string {
  return document.replace(/^\| added \| what \| when \| goes with \|\n(?:\|.*\n)+/m, () => inventoryTable());
}

function comment(markdown: string): string {
  return `# ${markdown.replaceAll('`', '')}\n`;
}

if (import.meta.main) {
  await Bun.write(join(ROOT, SETTINGS_DOCS.example), settingsExample());
  for (const [path, renew] of [
    [SETTINGS_DOCS.settings, withSettingsTable],
    [SETTINGS_DOCS.inventory, withInventoryTable],
  ] as const) {
    const file = join(ROOT, path);
    await Bun.write(file, renew(await Bun.file(file).text()));
  }
}
