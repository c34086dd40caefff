import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Everything that has to hold before a change lands: format, lint and types, the build, and every test against it.
 * Closes with one line, `N passed, N failed`; exits with 1 when anything failed. Arguments go to `bun test`.
 */
const bun = process.execPath;
const report = join(tmpdir(), `agent3-tests-${process.pid}.xml`);

// A command may run for 45 s by the contract: a test that waits for one needs longer than Bun's 5 s.
const steps: Record<string, readonly string[]> = {
  check: [bun, 'run', 'check'],
  build: [bun, 'run', 'build'],
  tests: [bun, 'test', '--timeout=60000', '--reporter=junit', `--reporter-outfile=${report}`, ...process.argv.slice(2)],
};

const broken: string[] = [];
for (const [name, command] of Object.entries(steps)) {
  const { exitCode } = Bun.spawnSync([...command], {
    stdio: ['ignore', 'inherit', 'inherit'],
    cwd: join(import.meta.dir, '..'),
  });
  if (exitCode !== 0) broken.push(name);
}

const { passed, failed, skipped } = countTests();
for (const name of broken) console.log(`failed: ${name}`);
// A step that failed without a failed test (types, the build, a crash of the runner) counts as a failure as well.
const failures = Math.max(failed, broken.length);
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures > 0 || passed === 0 ? 1 : 0);

/** The totals of the JUnit report; zeros where the runner wrote none. */
function countTests(): { passed: number; failed: number; skipped: number } {
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
