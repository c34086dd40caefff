import { readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import type { Row } from './bar.ts';
import { cold } from './bars/cold.ts';
import { consolePage } from './bars/console.ts';
import { control } from './bars/control.ts';
import { files } from './bars/files.ts';
import { fleet } from './bars/fleet.ts';
import { fleetFaults } from './bars/fleet-faults.ts';
import { fleetMany } from './bars/fleet-many.ts';
import { flood } from './bars/flood.ts';
import { history } from './bars/history.ts';
import { idle } from './bars/idle.ts';
import { masks } from './bars/masks.ts';
import { mcp } from './bars/mcp.ts';
import { neighbour } from './bars/neighbour.ts';
import { parallel } from './bars/parallel.ts';
import { peers } from './bars/peers.ts';
import { pushes } from './bars/push.ts';
import { sequential } from './bars/sequential.ts';
import { sleepers } from './bars/sleepers.ts';
import { terminal } from './bars/terminal.ts';
import { transfer } from './bars/transfer.ts';
import { waiting } from './bars/waiting.ts';
import { ensureExecutable } from './servers.ts';

/**
 * Measures every bar and prints the table of README.md here. Names as arguments measure only those; `--json` prints the
 * rows as JSON. Exits with 1 when a bar does not hold.
 */
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));

const has = installPeers({ webhook: 'webhook', wrk: 'wrk', flask: 'python3-flask', sshd: 'openssh-server' });
ensureExecutable();

const bars: Record<string, () => Promise<Row[]>> = {
  idle,
  // Before the others, whose thousands of files are written back for a while.
  flood,
  cold,
  sequential: () => sequential(has.webhook),
  parallel: () => parallel(has),
  control,
  mcp,
  sleepers,
  history,
  waiting,
  terminal,
  transfer,
  files,
  neighbour,
  masks,
  fleetMany,
  console: consolePage,
  push: pushes,
  fleet,
  fleetFaults,
  peers,
};

const rows: Row[] = [];
for (const [name, measure] of Object.entries(bars)) {
  if (names.length > 0 && !names.includes(name)) continue;
  console.error(`measuring ${name} …`);
  rows.push(...(await measure()));
}
console.log(process.argv.includes('--json') ? JSON.stringify(rows, null, 2) : table(rows));
process.exit(rows.some((row) => row.holds === false) ? 1 : 0);

/** Installs Debian's packages of the peers that are missing, where that is allowed; returns which are there. */
function installPeers<Name extends string>(packages: Readonly<Record<Name, string>>): Record<Name, boolean> {
  const missing = Object.values<string>(packages).filter((name) => !isInstalled(name));
  if (missing.length > 0 && process.getuid?.() === 0) {
    Bun.spawnSync(['apt-get', 'update', '-qq'], { stdio: ['ignore', 'ignore', 'inherit'] });
    Bun.spawnSync(['apt-get', 'install', '-y', '-qq', ...missing], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  const entries = Object.entries<string>(packages).map(([name, debian]) => [name, isInstalled(debian)]);
  return Object.fromEntries(entries);
}

function isInstalled(name: string): boolean {
  return Bun.spawnSync(['dpkg-query', '--show', name], { stdio: ['ignore', 'ignore', 'ignore'] }).exitCode === 0;
}

function table(measured: readonly Row[]): string {
  const verdict = (row: Row): string => (row.holds === undefined ? '?' : row.holds ? '✓' : '✗');
  const lines = measured.map(
    (row) => `| ${row.bar} | ${row.measured} | ${row.baseline} | ${row.value} | ${row.limit} | ${verdict(row)} |`,
  );
  return [
    '| bar | Agent3 | against | value | limit | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...lines,
    '',
    machine(),
  ].join('\n');
}

function machine(): string {
  const memory = Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) / 1_048_576;
  return `Machine: ${cpus().length} cores (${cpus()[0]?.model}), ${memory.toFixed(0)} GiB, Linux ${release()}, Bun ${Bun.version}.`;
}
