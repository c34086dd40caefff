import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Everything that has to hold before a change lands: format, lint and types, the build, and every test against it.
 * Closes with one line, `N passed, N failed`; exits with 1 when anything failed. Arguments go to `bun test`.
 */
const bun = process.execPath;
const root = join(import.meta.dir, '..');

const steps: Record<string, readonly string[]> = {
  check: [bun, 'run', 'check'],
  build: [bun, 'run', 'build'],
};

const broken: string[] = [];
for (const [name, command] of Object.entries(steps)) {
  const { exitCode } = Bun.spawnSync([...command], { stdio: ['ignore', 'inherit', 'inherit'], cwd: root });
  if (exitCode !== 0) broken.push(name);
}

// The tests in the emulated machine take one of two cores for minutes; the others wait most of the time, for commands.
const given = process.argv.slice(2);
const others = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter(({ name }) => name.endsWith('.test.ts') || !/^(?:vm|bench|helpers)$|\.ts$/.test(name))
  .map(({ name }) => `test/${name}`);
const groups = given.length > 0 ? [given] : [['test/vm'], others];
const reports = groups.map((_, index) => join(tmpdir(), `agent3-tests-${process.pid}-${index}.xml`));
const runs = groups.map((group, index) =>
  // A command may run for 45 s by the contract: a test that waits for one needs longer than Bun's 5 s.
  Bun.spawn([bun, 'test', '--timeout=60000', '--reporter=junit', `--reporter-outfile=${reports[index]}`, ...group], {
    // One is seen as it goes on, the other when it is over: nobody reads two at once.
    stdio: ['ignore', ...(index === 0 ? (['inherit', 'inherit'] as const) : (['pipe', 'pipe'] as const))],
    cwd: root,
  }),
);
const outputs = await Promise.all(
  runs.map(async ({ stdout, stderr, exited }) => {
    const texts = await Promise.all([stdout, stderr].map((stream) => (stream ? new Response(stream).text() : '')));
    if ((await exited) !== 0) broken.push('tests');
    return texts.join('');
  }),
);
for (const output of outputs) console.log(output);

const { passed, failed, skipped } = countTests();
for (const name of broken) console.log(`failed: ${name}`);
// A step that failed without a failed test (types, the build, a crash of the runner) counts as a failure as well.
const failures = Math.max(failed, broken.length);
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures > 0 || passed === 0 ? 1 : 0);

/** The totals of the JUnit reports; zeros where the runner wrote none. */
function countTests(): { passed: number; failed: number; skipped: number } {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const report of reports) {
    const { passed, failed, skipped } = countIn(report);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  return sum;
}

function countIn(report: string): { passed: number; failed: number; skipped: number } {
  try {
    const head = /<testsuites[^>]*>/.exec(readFileSync(report, 'utf8'))?.[0] ?? '';
    const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
    const failed = count('failures') + count('errors');
    const skipped = count('skipped');
    return { passed: count('tests') - failed - skipped, failed, skipped };
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  } finally {
    rmSync(report, { force: true });
  }
}
