import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { COMMANDS } from '../../src/cli/program.ts';
import { within } from '../helpers/waiting.ts';

/** Runs `action` as a subcommand of this name, its standard output being what `redirection` says. */
async function run(name: string, action: string, redirection: string) {
  const program = `
import { Command } from 'commander';
import { readFileSync, writeSync } from 'node:fs';
import { watchOutput } from '${join(import.meta.dir, '../../src/cli/exit.ts')}';
const program = new Command();
watchOutput(program, '${COMMANDS.find((command) => command.name === name)?.output}');
program.command('${name}').command('inner').action(async () => { ${action} });
await program.parseAsync(['${name}', 'inner'], { from: 'user' });
`;
  const script = `exec 4> >(exec true); wait $!; exec "$@" ${redirection}`;
  const child = Bun.spawn(['bash', '-c', script, 'bash', process.execPath, '-e', program], {
    cwd: import.meta.dir,
    stdin: 'ignore',
    stderr: 'pipe',
  });
  const [stdout, stderr, code] = await within(
    'its end',
    Promise.all([child.stdout.text(), child.stderr.text(), child.exited]),
  );
  return { stdout, stderr, code };
}

const ends: readonly [name: string, code: number][] = [
  ['profile', 141],
  ['install', 7],
  ['uninstall', 7],
  ['watchdog', 7],
];
test.each(ends)('%s, whose reader has gone, ends quietly with %d', async (name, code) => {
  const action = `
for (let count = 0; count < 3; count++) {
  process.stdout.write('a line\\n');
  await new Promise((resolve) => setTimeout(resolve, 20));
}
process.exit(7);`;
  expect(await run(name, action, '>&4')).toEqual({ stdout: '', stderr: '', code });
});

test.each(['serve', 'mcp', 'exec', 'session', 'audit', 'match-lines'])(
  '%s waits when its output is not taken at once',
  async (name) => {
    const action = `
for (const descriptor of [1, 2]) {
  const flags = /^flags:\\s*(\\d+)/m.exec(readFileSync('/proc/self/fdinfo/' + descriptor, 'utf8'))?.[1];
  // O_NONBLOCK, octal.
  writeSync(1, Number.parseInt(flags, 8) & 0o4000 ? 'non-blocking ' : 'blocking ');
}`;
    expect(await run(name, action, '2>&1 | cat')).toMatchObject({ stdout: 'blocking blocking ', code: 0 });
  },
);
