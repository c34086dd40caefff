import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageIsBuilt } from './vm/harness/image.ts';

/**
 * Everything that has to hold before a change lands: format, lint and types, the build, and every test against it.
 * Closes with one line, `N passed, N failed`; exits with 1 when anything failed. An argument `unit`, `contract` or `vm`
 * takes a part of it (`unit` checks and builds nothing); other arguments go to `bun test`.
 */
const bun = process.execPath;
const root = join(import.meta.dir, '..');

const steps: Record<string, readonly string[]> = {
  check: [bun, 'run', 'check'],
  build: [bun, 'run', 'build'],
};

const given = process.argv.slice(2);
const part = given.length === 1 ? given[0] : undefined;
const needed = { unit: [], contract: ['build'], vm: ['build'] }[part ?? ''] ?? Object.keys(steps);

const broken: string[] = [];
for (const [name, command] of Object.entries(steps).filter(([name]) => needed.includes(name))) {
  const { exitCode } = Bun.spawnSync([...command], { stdio: ['ignore', 'inherit', 'inherit'], cwd: root });
  if (exitCode !== 0) broken.push(name);
}

/** A command may run for 45 s by the contract: a test that waits for one needs longer than Bun's 5 s. */
const TIMEOUT_MS = 60_000;
/** What takes 25 s in an emulated machine alone takes three times as long beside another one on a busy host. */
const MACHINE_TIMEOUT_MS = 180_000;

/** The tests of test/vm that run in a container: they wait for an installer or a service most of the time. */
const CONTAINED = [
  ...['container', 'control', 'https', 'install', 'logs', 'package', 'survival', 'takeover', 'upgrade'],
].map((name) => `test/vm/${name}.test.ts`);
/** Those in an emulated machine that go behind the containers, so that both lanes end at about the same time. */
const BEHIND = ['boot', 'debian13', 'power', 'small'].map((name) => `test/vm/${name}.test.ts`);
/** Whose answers have a time limit: it comes last, alone. */
const TIMED = 'test/vm/hostile.test.ts';

const machine = readdirSync(join(import.meta.dir, 'vm'))
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `test/vm/${name}`);
/** These try the executable; the folders of `units` need none. */
const contract = ['test/contract', 'test/ops'];
const units = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.name.endsWith('.test.ts') || entry.isDirectory())
  .map(({ name }) => `test/${name}`)
  .filter((path) => !['test/vm', 'test/bench', 'test/helpers', ...contract].includes(path));
const reports: string[] = [];
const outputs: string[] = [];
if (part === 'unit') {
  await runLane([['--parallel', ...units]], true);
} else if (part === 'contract') {
  await runLane([contract], true);
} else if (given.length > 0 && part !== 'vm') {
  await runLane([given], true);
} else {
  const others = part === 'vm' ? [] : [[...units, ...contract]];
  // An emulated machine takes one of two cores, or waits; the other tests wait most of the time, for commands.
  const later = [...CONTAINED, ...BEHIND, TIMED];
  const emulated = runLane([machine.filter((file) => !later.includes(file))], true);
  // The first of these builds what containers start from as well.
  const contained = Promise.race([emulated, imageBuilt()]).then(() => runLane([CONTAINED, BEHIND], false));
  outputs.push(...(await Promise.all([runLane(others, false), contained, emulated])));
  await runLane([[TIMED]], true);
}
for (const output of outputs) console.log(output);

const { passed, failed, skipped, names } = readReports();
for (const name of names) console.log(`failed: ${name}`);
for (const name of broken) console.log(`failed: ${name}`);
// A step that failed without a failed test (types, the build, a crash of the runner) counts as a failure as well.
const failures = Math.max(failed, broken.length);
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures > 0 || passed === 0 ? 1 : 0);

/** Runs groups of tests one after the other; gives what they wrote, unless that is seen as they go on. */
async function runLane(groups: readonly (readonly string[])[], isSeen: boolean): Promise<string> {
  const texts: string[] = [];
  for (const group of groups) {
    const report = join(tmpdir(), `agent3-tests-${process.pid}-${reports.length}.xml`);
    reports.push(report);
    const timeout = group.every((file) => file.startsWith('test/vm/')) ? MACHINE_TIMEOUT_MS : TIMEOUT_MS;
    const command = [bun, 'test', `--timeout=${timeout}`, '--reporter=junit', `--reporter-outfile=${report}`, ...group];
    const stream = isSeen ? 'inherit' : 'pipe';
    const { stdout, stderr, exited } = Bun.spawn(command, { stdio: ['ignore', stream, stream], cwd: root });
    const written = [stdout, stderr].map((output) => (output ? new Response(output).text() : ''));
    texts.push(...(await Promise.all(written)));
    if ((await exited) !== 0) broken.push('tests');
  }
  return texts.join('');
}

async function imageBuilt(): Promise<void> {
  while (!imageIsBuilt('bookworm')) await Bun.sleep(1000);
}

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  /** File and full name of each test that failed. */
  names: string[];
}

/** The totals of the JUnit reports; zeros where the runner wrote none. */
function readReports(): Totals {
  const sum: Totals = { passed: 0, failed: 0, skipped: 0, names: [] };
  for (const report of reports) {
    const { passed, failed, skipped, names } = readReport(report);
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
    sum.names.push(...names);
  }
  return sum;
}

function readReport(report: string): Totals {
  try {
    const text = readFileSync(report, 'utf8');
    const head = /<testsuites[^>]*>/.exec(text)?.[0] ?? '';
    const count = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(head)?.[1] ?? 0);
    const failed = count('failures') + count('errors');
    const skipped = count('skipped');
    return { passed: count('tests') - failed - skipped, failed, skipped, names: failuresIn(text) };
  } catch {
    return { passed: 0, failed: 0, skipped: 0, names: [] };
  } finally {
    rmSync(report, { force: true });
  }
}

function failuresIn(report: string): string[] {
  const cases = report.matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]* file="([^"]*)"[^>]*>\s*<(?:failure|error)/g,
  );
  return [...cases].map(([, name = '', group = '', file = '']) => unescapeXml(`${file}: ${group} > ${name}`));
}

function unescapeXml(text: string): string {
  const characters: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replaceAll(/&(lt|gt|quot|apos|amp);/g, (entity, name: string) => characters[name] ?? entity);
}
