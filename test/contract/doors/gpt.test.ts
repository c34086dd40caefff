import { describe, expect, test } from 'bun:test';
import { agent3 } from '../../helpers/cli.ts';

describe('agent3 gpt', () => {
  test('prints everything that the builder asks for', async () => {
    const { code, stdout } = await agent3(['gpt', '--url', 'https://agent.example.org/']);
    expect(code).toBe(0);
    for (const text of [
      'https://agent.example.org/openapi.json',
      'X-Auth-Token',
      'API Key',
      'Custom',
      'no time limit ends it',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  test('says that GPT Actions end, when, and what to do instead', async () => {
    const { stdout } = await agent3(['gpt', '--url', 'https://agent.example.org']);
    expect(stdout).toMatch(/^OpenAI retires GPTs with Actions: .* 11 December 2026.* sudo agent3 connect\n/);
  });

  test('is short', async () => {
    const { stdout } = await agent3(['gpt', '--url', 'https://agent.example.org']);
    expect(stdout.length).toBeLessThanOrEqual(2200);
  });

  test('has instructions that fit the builder, and name operations as the schema does', async () => {
    const { stdout } = await agent3(['gpt', '--json'], { AGENT3_PUBLIC_URL: 'https://agent.example.org' });
    const kit = JSON.parse(stdout) as { instructions: string; schemaUrl: string; name: string; description: string };
    expect(kit.instructions.length).toBeLessThan(8000);
    expect(kit.description.length).toBeLessThan(300);
    expect(kit.schemaUrl).toBe('https://agent.example.org/openapi.json');
    for (const id of ['server_info', 'shell', 'read_session', 'list_sessions', 'kill_session', 'close_session']) {
      expect(kit.instructions).toContain(id);
    }
  });

  test.each([[[]], [['--url', 'http://agent.example.org']], [['--url', 'agent.example.org']]])(
    'with %j says which URL it needs',
    async (args) => {
      const { code, stderr } = await agent3(['gpt', ...args]);
      expect(code).toBe(2);
      expect(stderr).toContain('https://agent.example.org');
    },
  );
});
