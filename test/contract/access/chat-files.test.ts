import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type Agent, startAgent } from '../../helpers/agent.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { hexOf } from '../../helpers/links.ts';
import { McpClient } from '../../helpers/mcp.ts';
import { freePort } from '../../helpers/ports.ts';
import { NETWORK_PROGRAMS, SmallInternet } from '../../helpers/small-internet.ts';

const canTry = process.geteuid?.() === 0 && ensurePrograms(...NETWORK_PROGRAMS, 'bwrap').length === 0;
const HOST = 'https://files.oaiusercontent.com';

describe.skipIf(!canTry)('a file that ChatGPT hands over', () => {
  const files = new TemporaryDirectory();
  const settings = { AGENT3_TOKENS_FILE: files.join('tokens.json'), AGENT3_PROFILES_DIR: files.join('profiles.d') };
  let internet: SmallInternet;
  let agent: Agent;
  let confined = '';

  beforeAll(async () => {
    mkdirSync(settings.AGENT3_PROFILES_DIR);
    writeFileSync(
      `${settings.AGENT3_PROFILES_DIR}/work.toml`,
      'extends = "workspace"\ndirectory = "/srv/agent3-none"\n',
    );
    confined = (await agent3(['token', 'create', 'work', '--profile', 'work'], settings)).stdout.trim();
    const port = await freePort();
    internet = await SmallInternet.open(port);
    const more = { AGENT3_PORT: String(port), AGENT3_MAX_TRANSFER_BYTES: '1048576', AGENT3_REPLY_SECONDS: '6' };
    agent = await startAgent({ ...settings, ...internet.settings, ...more }, internet.before);
  });
  afterAll(async () => {
    await agent?.[Symbol.asyncDispose]();
    await internet?.[Symbol.asyncDispose]();
    files[Symbol.dispose]();
  });

  const upload = async (download_url: string, token = agent.token) => {
    const path = files.join('fetched');
    const file = { download_url, file_id: 'file_1', mime_type: 'text/plain', file_name: 'a.txt' };
    const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify({ path, file }) };
    const response = await fetch(`${agent.url}/upload`, init);
    return { status: response.status, path, body: (await response.json()) as Record<string, unknown> };
  };

  test('is written to its path, with its hash', async () => {
    const { status, path, body } = await upload(`${HOST}/file?se=2026&sig=secret`);
    expect<object>({ status, ...body }).toEqual({ status: 200, bytes: 16, sha256: hexOf('a file of a chat') });
    expect(readFileSync(path, 'utf8')).toBe('a file of a chat');
    expect(internet.asked.at(-1)).toBe('11.0.0.1 files.oaiusercontent.com /file');
    expect(JSON.stringify(agent.logs)).not.toContain('sig=secret');
  });

  test('is named to ChatGPT as a file', async () => {
    await using client = await McpClient.overHttp(agent);
    const tool = client.tools.find(({ name }) => name === 'upload');
    expect(tool?._meta).toEqual({ 'openai/fileParams': ['file'] });
    const file = { download_url: `${HOST}/file`, file_id: 'file_1' };
    const { answer, isError } = await client.call('upload', { path: files.join('by-mcp'), file });
    expect(isError).toBe(false);
    expect(answer as object).toMatchObject({ bytes: 16 });
  });

  test.each([
    ['at this machine', 'https://127.0.0.1/file'],
    ['at this machine, otherwise written', 'https://0x7f.1/file'],
    ['of another host', 'https://good.example/file'],
    ['of a look-alike', 'https://files.oaiusercontent.com.example/file'],
    ['of another look-alike', 'https://filesoaiusercontent.com/file'],
    ['of a page of somebody', 'https://page.web-sandbox.oaiusercontent.com/file'],
    ['behind a user name', 'https://files.oaiusercontent.com@good.example/file'],
    ['at another port', `${HOST}:8443/file`],
    ['without TLS', 'http://files.oaiusercontent.com/file'],
    ['that is none', 'file:///etc/shadow'],
  ])('%s is refused, and nobody is asked', async (_what, url) => {
    const before = internet.asked.length;
    const { status, body } = await upload(url);
    expect({ status, error: body['error'] }).toEqual({ status: 400, error: 'Invalid args' });
    expect(internet.asked.slice(before)).toEqual([]);
  });

  test.each([
    ['at an address of a private network', 'https://inside.oaiusercontent.com/file'],
    ['at this machine by its name', 'https://self.oaiusercontent.com/file'],
  ])('%s is refused, and nobody is asked', async (_what, url) => {
    const before = internet.asked.length;
    expect(await upload(url)).toMatchObject({
      status: 503,
      body: { message: expect.stringContaining('no public address') },
    });
    expect(internet.asked.slice(before)).toEqual([]);
  });

  test.each([
    ['that is a redirect', '/moved', 503],
    ['that is a redirect to this machine', '/moved-inside', 503],
    ['that is gone', '/404', 503],
    ['that is compressed', '/bomb', 503],
    ['that is too large', '/gigabyte', 413],
    ['that does not come', '/silent', 503],
  ])(
    '%s leaves what was there',
    async (_what, path, status) => {
      const kept = files.join('fetched');
      writeFileSync(kept, 'kept');
      const before = internet.asked.length;
      expect((await upload(HOST + path)).status).toBe(status);
      expect(readFileSync(kept, 'utf8')).toBe('kept');
      expect(internet.asked.slice(before)).toEqual([`11.0.0.1 files.oaiusercontent.com ${path}`]);
      expect(readdirSync(files.path).filter((name) => name.startsWith('.agent3'))).toEqual([]);
    },
    60_000,
  );

  test('is fetched only where the profile has the network', async () => {
    const before = internet.asked.length;
    const { status, body } = await upload(`${HOST}/file`, confined);
    expect({ status, error: body['error'] }).toEqual({ status: 403, error: 'Forbidden' });
    expect(body['message']).toMatch(/no network/);
    expect(internet.asked.slice(before)).toEqual([]);
    expect(existsSync('/srv/agent3-none')).toBe(false);
  });
});
