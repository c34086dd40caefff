import { afterAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { startAgent } from '../../helpers/agent.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { within } from '../../helpers/waiting.ts';

const INSPECTOR = join(
  import.meta.dir,
  '../../../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js',
);

const agent = await startAgent();
const state = new TemporaryDirectory();
afterAll(async () => {
  state[Symbol.dispose]();
  await agent[Symbol.asyncDispose]();
});

/** Runs the command line of the official Inspector to its end and returns what it prints. */
async function inspect(...args: readonly string[]) {
  const child = Bun.spawn([process.execPath, INSPECTOR, '--cli', ...args], {
    cwd: state.path,
    // It keeps settings of its own at home.
    env: { ...BASE_ENVIRONMENT, HOME: state.path },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const outputs = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  const [stdout, stderr, code] = await within('the Inspector', outputs, 30_000);
  if (code !== 0) throw new Error(`the Inspector ended with ${code}:\n${stderr}`);
  return JSON.parse(stdout);
}

const doors: [string, () => readonly string[]][] = [
  ['/mcp', () => [`${agent.url}/mcp`, '--transport', 'http', '--header', `Authorization: Bearer ${agent.token}`]],
  ['agent3 mcp', () => [BINARY, 'mcp', '-e', `XDG_STATE_HOME=${state.path}`]],
];

describe.each(doors)('the Inspector on the command line, with %s', (_name, target) => {
  test('lists the tools', async () => {
    const { tools } = await inspect(...target(), '--method', 'tools/list');
    expect(tools.map(({ name }: { readonly name: string }) => name)).toContain('shell');
  });

  test('calls one', async () => {
    const call = ['--method', 'tools/call', '--tool-name', 'shell', '--tool-arg', 'cmd=echo inspected'];
    const { content } = await inspect(...target(), ...call);
    expect(content).toEqual([{ type: 'text', text: 'inspected\n' }]);
  });
});
