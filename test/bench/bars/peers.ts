import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { BASE_ENVIRONMENT } from '../../helpers/binary.ts';
import { median, missingRow, type Row, ratioRow } from '../bar.ts';
import { EXECUTABLE, newDirectory } from '../servers.ts';
import { startSshd } from '../sshd.ts';

const ROUNDS = 4;
const PER_ROUND = 5;
const MOST_TRIES = 20;

/** A tool that runs a command, behind a program that speaks MCP on its standard streams. */
interface Contestant {
  readonly argv: readonly [string, ...string[]];
  readonly tool: string;
  readonly args: Readonly<Record<string, unknown>>;
}

interface Peer {
  readonly name: string;
  /** The package of npm, with its version. */
  readonly npm: string;
  /** How it is started in the directory where it is installed; a text where that cannot be done here. */
  start(directory: string): Contestant | string | Promise<Contestant | string>;
}

/** What users would pick for the same work: both run commands for a model, over MCP. */
const PEERS: readonly Peer[] = [
  {
    name: 'DesktopCommander',
    npm: '@wonderwhy-er/desktop-commander@0.2.52',
    start: (directory) => {
      const settings = join(directory, '.claude-server-commander');
      mkdirSync(settings);
      writeFileSync(join(settings, 'config.json'), JSON.stringify({ telemetryEnabled: false }));
      return {
        argv: ['node', join(directory, 'node_modules/.bin/desktop-commander'), '--no-onboarding'],
        tool: 'start_process',
        args: { command: 'echo hi', timeout_ms: 5000 },
      };
    },
  },
  {
    name: 'ssh-mcp',
    npm: 'ssh-mcp@2.11.0',
    start: async (directory) => {
      const ssh = await startSshd(directory);
      if (typeof ssh === 'string') return ssh;
      const options = ['--host=127.0.0.1', `--port=${ssh.port}`, '--user=root', `--key=${ssh.key}`];
      const argv = ['node', join(directory, 'node_modules/.bin/ssh-mcp'), ...options] as const;
      return { argv: [...argv], tool: 'run-command', args: { command: 'echo hi' } };
    },
  },
];

/** `echo hi` over MCP, against programs that run commands for a model as well; where npm can install them. */
export async function peers(): Promise<Row[]> {
  const own = newDirectory();
  using agent = await connect({ argv: [EXECUTABLE, 'mcp'], tool: 'shell', args: { cmd: 'echo hi' } }, own);
  const rows: Row[] = [];
  for (const peer of PEERS) {
    const bar = `\`echo hi\` over MCP, p50, against ${peer.name}`;
    const directory = newDirectory('plain');
    const contestant = install(peer.npm, directory) ? await peer.start(directory) : `${peer.npm} cannot be installed`;
    if (typeof contestant === 'string') {
      rows.push(missingRow(bar, contestant));
      continue;
    }
    using other = await connect(contestant, directory);
    const [measured, baseline]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      measured.push(...(await agent.time(PER_ROUND)));
      baseline.push(...(await other.time(PER_ROUND)));
    }
    const figures = { measured: median(measured), baseline: median(baseline), unit: 'ms', peer: peer.name };
    rows.push(ratioRow(bar, figures, { atMost: 1 }));
  }
  return rows;
}

function install(npm: string, directory: string): boolean {
  const argv = [
    'npm',
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--prefix',
    directory,
    npm,
  ];
  try {
    return Bun.spawnSync(argv, { stdio: ['ignore', 'ignore', 'ignore'], timeout: 300_000 }).exitCode === 0;
  } catch {
    return false;
  }
}

/** Connects to a program that is started for it, and has answered once. */
async function connect({ argv: [command, ...args], tool, args: given }: Contestant, home: string) {
  const env = { ...BASE_ENVIRONMENT, HOME: home, XDG_STATE_HOME: home };
  const client = new Client({ name: 'bench', version: '1' });
  await client.connect(new StdioClientTransport({ command, args, env, cwd: home, stderr: 'ignore' }));
  /** Milliseconds of a call; undefined where the answer came before the output was there, as some do at times. */
  const call = async (): Promise<number | undefined> => {
    const startMs = performance.now();
    const { content, isError } = await client.callTool({ name: tool, arguments: given });
    const tookMs = performance.now() - startMs;
    if (isError === true) throw new Error(JSON.stringify(content));
    return JSON.stringify(content).includes('hi') ? tookMs : undefined;
  };
  await call();
  return {
    async time(count: number): Promise<number[]> {
      const times: number[] = [];
      for (let sent = 0; times.length < count; sent++) {
        if (sent >= count * MOST_TRIES) throw new Error(`${tool} answers without output`);
        const tookMs = await call();
        if (tookMs !== undefined) times.push(tookMs);
      }
      return times;
    },
    [Symbol.dispose]: () => void client.close(),
  };
}
