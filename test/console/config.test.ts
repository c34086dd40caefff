import { expect, test } from 'bun:test';
import { readConsoleConfig } from '../../src/console/config.ts';

const settings = {
  AGENT3_CONSOLE_DIR: '/var/lib/agent3-console',
  AGENT3_CONSOLE_KEY: 'k'.repeat(40),
  AGENT3_CONSOLE_ORIGIN: 'https://agent.example.org',
};

test('the console starts with its own settings, without what the agent alone needs', () => {
  expect(readConsoleConfig(settings)).toMatchObject({ origin: 'https://agent.example.org' });
});

test('it says what is missing', () => {
  expect(readConsoleConfig({ ...settings, AGENT3_CONSOLE_KEY: '' })).toEqual([
    'AGENT3_CONSOLE_KEY is not set: the agent and its console need the same value',
  ]);
});
