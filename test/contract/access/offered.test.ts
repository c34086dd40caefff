import { afterAll, describe, expect, test } from 'bun:test';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { OPERATIONS } from '../../../src/access/profile.ts';
import { startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { type Era, McpClient } from '../../helpers/mcp.ts';
import { eventually } from '../../helpers/waiting.ts';

const missing = ensurePrograms('bwrap');
const directory = new TemporaryDirectory();
const settings = {
  AGENT3_TOKENS_FILE: directory.join('tokens.json'),
  AGENT3_PROFILES_DIR: directory.join('profiles.d'),
};
mkdirSync(settings.AGENT3_PROFILES_DIR);
mkdirSync(directory.join('work'));
const PROFILES = {
  app: `extends = "workspace"\ndirectory = "${directory.join('work')}"\n`,
  reader: 'extends = "full"\noperations = ["read_session", "list_sessions", "server_info"]\n',
  looker: 'operations = ["look", "read_file", "download", "write_file"]\n',
  fleeting: 'extends = "full"\n',
};
for (const [name, text] of Object.entries(PROFILES))
  writeFileSync(`${settings.AGENT3_PROFILES_DIR}/${name}.toml`, text);
const tokens: Record<string, string> = {};
for (const name of ['full', 'readonly', ...Object.keys(PROFILES)])
  tokens[name] = (await agent3(['token', 'create', name, '--profile', name], settings)).stdout.trim();
const agent = await startAgent(settings);
afterAll(async () => {
  await agent[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** The operations that change a file of the machine. */
const WRITES = ['write_file', 'edit_file', 'undo', 'upload'];
const READS = OPERATIONS.filter((name) => !WRITES.includes(name));

const OFFERED: readonly (readonly [profile: string, operations: readonly string[]])[] = [
  ['full', OPERATIONS],
  ['app', OPERATIONS],
  ['readonly', READS],
  ['reader', ['read_session', 'list_sessions', 'server_info']],
  ['looker', ['look', 'read_file', 'download']],
];

const connect = (profile: string, era: Era) =>
  McpClient.overHttp(agent, { authorization: `Bearer ${tokens[profile]}` }, era);
const namesIn = (text: string): string[] => OPERATIONS.filter((name) => new RegExp(`\\b${name}\\b`).test(text));

describe.skipIf(missing.length > 0).each(['older', 'newer'] as const)('in the %s protocol, a token', (era) => {
  test.each(OFFERED)('of the profile %s is offered what it can use, and nothing else', async (profile, operations) => {
    await using client = await connect(profile, era);
    expect(client.tools.map(({ name }) => name)).toEqual([...operations]);
    const instructions = client.sdk.getInstructions() ?? '';
    // A verb too.
    for (const name of namesIn(instructions)) if (name !== 'look') expect(operations).toContain(name);
    expect(instructions.length).toBeLessThanOrEqual(2200);
  });

  test('that can write nowhere is not told how to change something', async () => {
    await using client = await connect('readonly', era);
    const instructions = client.sdk.getInstructions() ?? '';
    expect(instructions).toContain('cannot change the server');
    expect(instructions).not.toMatch(/cat >|Before you|before you/);
    await using writer = await connect('app', era);
    expect(writer.sdk.getInstructions()).not.toContain('cannot change the server');
  });
});

describe.skipIf(missing.length > 0)('a token', () => {
  test.each(OFFERED)('of the profile %s hears of the same from server_info', async (profile, operations) => {
    if (!operations.includes('server_info')) return;
    await using client = await connect(profile, 'older');
    const { answer } = await client.call('server_info');
    const said = (answer as unknown as { profile: { operations?: string[] } }).profile.operations;
    expect(said).toEqual(operations.length === OPERATIONS.length ? undefined : [...operations]);
  });

  test('that asks for an unknown tool gets a list of its own', async () => {
    await using client = await connect('reader', 'older');
    await expect(client.sdk.callTool({ name: 'format', arguments: {} })).rejects.toThrow(
      'Unknown tool. There are: read_session, list_sessions, server_info',
    );
  });

  test('whose profile is gone hears why instead of a list', async () => {
    rmSync(`${settings.AGENT3_PROFILES_DIR}/fleeting.toml`);
    await eventually('the profile is missed', async () => {
      const headers = { 'x-auth-token': tokens['fleeting'] ?? '' };
      return (await fetch(`${agent.url}/server_info`, { method: 'POST', headers })).status === 503;
    });
    await expect(connect('fleeting', 'older')).rejects.toThrow('The profile fleeting of this token does not exist');
  });
});
