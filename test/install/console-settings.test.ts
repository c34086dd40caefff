import { describe, expect, test } from 'bun:test';
import { type ConsoleOptions, consoleSettings, consoleUrl } from '../../src/install/console-settings.ts';

describe('the URL of the console', () => {
  const urls: readonly (readonly [
    options: ConsoleOptions,
    before: string | null | undefined,
    domain: string | null,
    url: string | null,
  ])[] = [
    [{}, undefined, null, 'http://localhost:8443'],
    [{}, undefined, 'Agent.Example.org', 'https://agent.example.org:8443'],
    [{ consoleDomain: 'Console.Example.org' }, undefined, 'agent.example.org', 'https://console.example.org'],
    [{ consoleDomain: 'console.example.org' }, null, null, 'https://console.example.org'],
    [{}, 'https://console.example.org', 'agent.example.org', 'https://console.example.org'],
    [{ consoleDomain: false }, 'https://console.example.org', 'a.example.org', 'https://a.example.org:8443'],
    [{ consoleDomain: false }, 'https://console.example.org', null, 'http://localhost:8443'],
    [{}, 'https://agent.example.org:8443', 'other.example.org', 'https://other.example.org:8443'],
    [{}, 'https://agent.example.org:8443', null, 'http://localhost:8443'],
    [{ console: false }, 'https://agent.example.org:8443', 'agent.example.org', null],
    [{}, null, 'agent.example.org', null],
    [{ console: true }, null, 'agent.example.org', 'https://agent.example.org:8443'],
  ];
  test.each(urls)('by %j, after %j, with the domain %j, is %j', (options, before, domain, url) => {
    expect(consoleUrl(options, before, domain)).toBe(url);
  });

  const clashes: readonly (readonly [options: ConsoleOptions, before: string | undefined, domain: string])[] = [
    [{ consoleDomain: 'Agent.example.org' }, undefined, 'agent.example.org'],
    [{ consoleDomain: 'agent.example.org' }, undefined, 'Agent.Example.org'],
    [{}, 'https://agent.example.org', 'agent.example.org'],
  ];
  test.each(clashes)('by %j, after %j, is not that of the agent at %j', (options, before, domain) => {
    expect(() => consoleUrl(options, before, domain)).toThrow(/must be another name than --domain/);
  });
});

describe('the settings of the console', () => {
  const input = { url: 'https://a.example:8443', before: undefined, asked: false, key: () => 'a-new-key' };

  test('get a key once', () => {
    const first = consoleSettings(undefined, input);
    expect(first).toEndWith('AGENT3_CONSOLE_KEY=a-new-key\nAGENT3_CONSOLE_ORIGIN=https://a.example:8443\n');
    expect(consoleSettings(first, { ...input, key: () => 'another' })).toBe(first);
    expect(consoleSettings(undefined, { ...input, key: () => '' })).toContain('\nAGENT3_CONSOLE_KEY=\n');
    expect(consoleSettings('AGENT3_CONSOLE_KEY=\n', input)).toContain('AGENT3_CONSOLE_KEY=a-new-key\n');
  });

  test('follow the domain, but not where the owner has a URL of his own', () => {
    const of = (url: string): string => `AGENT3_CONSOLE_KEY=k\nAGENT3_CONSOLE_ORIGIN=${url}\n`;
    const before = 'http://localhost:8443';
    expect(consoleSettings(of(before), { ...input, before })).toBe(of(input.url));
    expect(consoleSettings(of('https://mine.example'), { ...input, before })).toBe(of('https://mine.example'));
    expect(consoleSettings(of('https://mine.example'), { ...input, before, asked: true })).toBe(of(input.url));
  });
});
