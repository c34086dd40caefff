import { describe, expect, test } from 'bun:test';
import { ConfigError, loadConfig } from '../../src/settings/config.ts';

const TOKEN = 'a-token-of-20-chars!';

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}

describe('settings', () => {
  test('need a token alone, and have the defaults of the contract', () => {
    const config = loadConfig({ AGENT3_API_TOKEN: TOKEN });
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 5000,
      sessionsDirectory: `${process.cwd()}/sessions`,
      shell: '/bin/bash',
      replySeconds: 40,
      maxExecSeconds: 45,
      killGraceSeconds: 2,
      maxOutputBytes: 92_160,
      maxReplyChars: 100_000,
      maxSessionBytes: 1_073_741_824,
      maxSessionsBytes: 5_368_709_120,
      sessionTtlSeconds: 86_400,
      maxRunning: 32,
      logLevel: 'info',
      unknownNames: [],
    });
  });

  test('tell all faults at once: the variable, what is allowed, and the value', () => {
    expect(
      faultsOf({ AGENT3_API_TOKEN: TOKEN, AGENT3_PORT: '70000', AGENT3_LOG_LEVEL: 'loud', AGENT3_MAX_RUNNING: '1e3' }),
    ).toEqual([
      'AGENT3_PORT must be an integer from 0 to 65535, not 70000',
      'AGENT3_MAX_RUNNING must be an integer from 1 to 10000, not "1e3"',
      'AGENT3_LOG_LEVEL must be one of "fatal", "error", "warn", "info", "debug", "trace", "silent", not "loud"',
    ]);
  });

  test('never show a token that is refused', () => {
    const faults = [
      ...faultsOf({ AGENT3_API_TOKEN: 'too-short' }),
      ...faultsOf({ AGENT3_API_TOKEN: 'with spaces in its middle' }),
    ];
    expect(faults).toHaveLength(2);
    expect(faults.join()).toContain('agent3 token new');
    expect(faults.join()).not.toContain('too-short');
    expect(faults.join()).not.toContain('spaces in its');
  });

  test('take a secret for notifications as Standard Webhooks have it, or any text', () => {
    const faults = (secret: string) =>
      faultsOf({ AGENT3_API_TOKEN: TOKEN, AGENT3_NOTIFY_URL: 'https://a.example', AGENT3_NOTIFY_SECRET: secret });
    expect(faults(`whsec_${'QUJD'.repeat(8)}`)).toEqual([]);
    expect(faults('a-text-of-20-letters')).toEqual([]);
    expect(faults(`whsec_${'QUJD'.repeat(7)}`)).toEqual([
      expect.stringContaining('Make one with: echo whsec_$(openssl rand -base64 32)'),
    ]);
  });

  test('say how to make a token when there is none', () => {
    expect(faultsOf({}).join()).toContain('Make one with: agent3 token new');
    expect(faultsOf({ AGENT3_TOKEN: TOKEN }).join()).toContain('AGENT3_API_TOKEN is not set');
  });

  test('refuse a shell that cannot be executed', () => {
    expect(faultsOf({ AGENT3_API_TOKEN: TOKEN, AGENT3_SHELL: '/etc/passwd' }).join()).toContain('AGENT3_SHELL');
    expect(faultsOf({ AGENT3_API_TOKEN: TOKEN, AGENT3_SHELL: 'bash' }).join()).toContain('absolute path');
  });

  test('refuse a URL that is not one, and do not show a password in it', () => {
    const faults = (name: string, url: string) => faultsOf({ AGENT3_API_TOKEN: TOKEN, [name]: url });
    const host = 'AGENT3_PUBLIC_URL must be a URL without a path, such as https://agent.example.org';
    expect(faults('AGENT3_PUBLIC_URL', 'https://[::1')).toEqual([`${host}, not "https://[::1"`]);
    expect(faults('AGENT3_PUBLIC_URL', 'https://a.example:99999')).toEqual([`${host}, not "https://a.example:99999"`]);
    expect(faults('AGENT3_PUBLIC_URL', 'https://me:hunter2@a.example/x')).toEqual([host]);
    for (const url of ['https://a.example', 'http://[::1]:5000/', 'https://a.example:8443', 'https://me@a.example'])
      expect(faults('AGENT3_PUBLIC_URL', url)).toEqual([]);
    expect(faults('AGENT3_ALLOWED_ORIGINS', 'https://a.example,https://b.example')).toEqual([]);
    for (const origins of ['*', 'https://a.example,https://[', 'https://a.example/x', 'https://a.example, https://b'])
      expect(faults('AGENT3_ALLOWED_ORIGINS', origins).join()).toContain('URLs without a path');
    const hook = { AGENT3_NOTIFY_SECRET: 'a-text-of-20-letters', AGENT3_NOTIFY_URL: 'hooks.example/T0/secret' };
    expect(faultsOf({ AGENT3_API_TOKEN: TOKEN, ...hook })).toEqual([
      'AGENT3_NOTIFY_URL must be a URL, such as https://agent.example.org/x',
    ]);
  });

  test('refuse a console on the origin of the agent', () => {
    const load = (own: string) => () =>
      loadConfig({ AGENT3_API_TOKEN: TOKEN, AGENT3_PUBLIC_URL: 'https://a.example', AGENT3_CONSOLE_ORIGIN: own });
    for (const own of ['https://a.example', 'https://A.example:443/']) expect(load(own)).toThrow('another port');
    for (const own of ['https://a.example:8443', 'https://b.example']) expect(load(own)).not.toThrow();
  });

  test('name variables that are most likely misspelt', () => {
    const config = loadConfig({ AGENT3_API_TOKEN: TOKEN, AGENT3_TOKEN: 'x', AGENT3_MAX_RUNING: '3', OTHER: 'y' });
    expect(config.unknownNames).toEqual(['AGENT3_MAX_RUNING']);
  });
});
