/**
 * Prints the modules of src that one audited `shell` in the profile `full` executes: `bun test/way.ts`. An agent answers
 * one call, and another one four, both under coverage; a module is on the way when a line of it ran three times more.
 * Loading a module and starting an agent do not count.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from './helpers/directories.ts';

const FEW = 1;
const MANY = 4;

/** How often each line of each module ran, while an agent answered so many calls. */
async function linesOf(calls: number): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  using directory = new TemporaryDirectory();
  const report = ['--coverage', '--coverage-reporter=lcov', `--coverage-dir=${directory.path}`];
  const run = Bun.spawn(['bun', 'test', ...report, './test/helpers/way-call.ts'], {
    cwd: join(import.meta.dir, '..'),
    env: { ...process.env, WAY_CALLS: String(calls) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if ((await run.exited) !== 0) throw new Error('the calls under coverage have failed');
  const modules = new Map<string, Map<string, number>>();
  let lines = new Map<string, number>();
  // The format: geninfo(1). SF is a file, DA a line and how often it ran.
  for (const entry of readFileSync(directory.join('lcov.info'), 'utf8').split('\n')) {
    const [key, value = ''] = entry.split(':');
    if (key === 'SF') {
      lines = new Map();
      modules.set(value, lines);
    }
    const [line = '', count] = value.split(',');
    if (key === 'DA') lines.set(line, Number(count));
  }
  return modules;
}

/** The modules of src that a call executes, in the order of their paths. */
export async function modulesOnTheWay(): Promise<string[]> {
  const [few, many] = [await linesOf(FEW), await linesOf(MANY)];
  const grows = ([module, lines]: readonly [string, ReadonlyMap<string, number>]): boolean =>
    [...lines].some(([line, count]) => count - (few.get(module)?.get(line) ?? 0) >= MANY - FEW);
  const paths = [...many].filter(grows).map(([module]) => module);
  return paths.filter((path) => path.startsWith('src/')).sort();
}

if (import.meta.main) {
  const modules = await modulesOnTheWay();
  process.stdout.write(`${modules.join('\n')}\n${modules.length} modules\n`);
}
