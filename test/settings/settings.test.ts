import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnvFile } from '../../ops/env-file.ts';
import { SETTINGS_DOCS, settingsExample, withSettingsTable } from '../../ops/settings-docs.ts';
import {
  hideSecretSettings,
  isKnownVariable,
  loadConfig,
  OTHER_VARIABLES,
  SECRET_SETTINGS,
  SETTING_ROWS,
  secretValues,
} from '../../src/settings/config.ts';

const ROOT = join(import.meta.dir, '../..');
const TOKEN = 'a-token-of-20-chars!';
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

describe('the documents say what the table of settings says (bun ops/settings-docs.ts writes them)', () => {
  test('ops/agent3.env.example', () => {
    expect(read(SETTINGS_DOCS.example)).toBe(settingsExample());
  });

  test('the table of the document, which has each setting once', () => {
    const document = read(SETTINGS_DOCS.settings);
    expect(withSettingsTable(document)).toBe(document);
    for (const [name] of SETTING_ROWS) expect(document.split(`\n| \`${name}\` | `)).toHaveLength(2);
  });

  test('what the unit of the service sets', () => {
    const inUnit = [...read('ops/agent3.service').matchAll(/^Environment=(AGENT3_\w+)=(.*)$/gm)];
    const inTable = SETTING_ROWS.flatMap(([name, { service }]) => (service === undefined ? [] : [[name, service]]));
    expect(inUnit.map(([, name, value]) => [name, value]).sort()).toEqual(inTable.sort());
  });
});

describe('the example', () => {
  test('sets what the installer fills in, and nothing else', () => {
    expect(parseEnvFile(settingsExample())).toEqual({
      AGENT3_API_TOKEN: '',
      AGENT3_HOST: '127.0.0.1',
      AGENT3_PORT: '5000',
      AGENT3_AUDIT_KEY: '',
      AGENT3_GRANT_KEY: '',
      AGENT3_PUSH_KEY: '',
    });
  });

  test('shows values that the agent takes', () => {
    const shown = settingsExample().replaceAll(/^#(AGENT3_)/gm, '$1');
    const { AGENT3_TLS_KEY, AGENT3_TLS_CERT, ...values } = parseEnvFile(shown);
    expect([AGENT3_TLS_CERT, AGENT3_TLS_KEY]).toEqual(['/etc/agent3/cert.pem', '/etc/agent3/key.pem']);
    const config = loadConfig({ ...values, AGENT3_API_TOKEN: TOKEN });
    expect(config).toMatchObject({ unknownNames: [], shell: '/bin/bash', profilesDirectory: '/etc/agent3/profiles.d' });
  });
});

describe('the secrets among the settings', () => {
  const environment = {
    AGENT3_API_TOKEN: 'secret-of-the-token',
    AGENT3_METRICS_TOKEN: 'secret-of-metrics',
    AGENT3_NOTIFY_URL: 'https://a.example',
    AGENT3_NOTIFY_SECRET: 'secret-of-notifications',
    AGENT3_AUDIT_KEY: 'secret-of-the-record-0123456789abcdef',
    AGENT3_GRANT_KEY: 'secret-of-the-grants-0123456789abcdef',
    AGENT3_CONSOLE_KEY: 'secret-of-the-console-0123456789abcdef',
    AGENT3_PUSH_KEY: 'secret-of-the-pushes-0123456789abcdef',
    AGENT3_FLEET_KEY: 'secret-of-the-hub-0123456789abcdef',
    AGENT3_HUB_KEY: 'secret-of-the-server-0123456789abcdef',
  };

  test('are these', () => {
    expect([...SECRET_SETTINGS].sort()).toEqual(
      Object.keys(environment)
        .filter((name) => name !== 'AGENT3_NOTIFY_URL')
        .sort(),
    );
  });

  test('have values that are masked', () => {
    expect(secretValues(loadConfig(environment)).sort()).toEqual(
      Object.values(environment)
        .filter((value) => value.startsWith('secret'))
        .sort(),
    );
    expect(secretValues(loadConfig({ AGENT3_API_TOKEN: TOKEN }))).toEqual([TOKEN]);
  });

  test('are in no text for a reader, however their line is written', () => {
    const lines = Object.entries(environment).flatMap(([name, value]) => [
      `${name}=${value}`,
      `#${name}=${value}`,
      `  export ${name} = '${value}'`,
      `# ${name}="${value}`,
    ]);
    const shown = hideSecretSettings(lines.join('\n'));
    expect(shown).not.toContain('secret-of');
    expect(shown).toContain('AGENT3_API_TOKEN=(a secret)');
    expect(shown).toContain('AGENT3_NOTIFY_URL=https://a.example');
    expect(shown.split('\n')).toHaveLength(lines.length);
  });

  test('leave an empty line of theirs as it is', () => {
    expect(hideSecretSettings('AGENT3_AUDIT_KEY=\nAGENT3_PORT=5000\n')).toBe('AGENT3_AUDIT_KEY=\nAGENT3_PORT=5000\n');
  });

  test('are never shown when they are refused', () => {
    for (const name of SECRET_SETTINGS) {
      const load = () => loadConfig({ ...environment, [name]: 'not allowed: ä' });
      expect(load).toThrow(name);
      expect(load).not.toThrow('not allowed');
    }
  });
});

describe('names', () => {
  test('that are settings, or other known variables, are known', () => {
    const names = [...SETTING_ROWS.map(([name]) => name), ...Object.keys(OTHER_VARIABLES)];
    expect(names.filter((name) => !isKnownVariable(name))).toEqual([]);
  });

  test('that are not settings are not known, also where every object has them', () => {
    const names = ['AGENT3_TOKEN_FILE', 'AGENT3_MAX_RUNING', 'AGENT3_', 'constructor'];
    expect(names.filter(isKnownVariable)).toEqual([]);
  });
});
