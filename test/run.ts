import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Everything that has to hold before a change lands: format, lint and types, the build, and every test against it.
 * Closes with one line, `N passed, N failed`; exits with 1 when anything failed. An argument `unit`, `contract` or `vm`
 * takes a part of it (`unit` checks and builds nothing); other arguments go to `bun test`.
 */
const bun = process.execPath;
const root = join(import.meta.dir, '..');

const run = (command: readonly string[]): Promise<number> =>
  Bun.spawn([...command], { stdio: ['ignore', 'inherit', 'inherit'], cwd: root }).exited;

const steps: Record<string, readonly string[]> = {
  check: [bun, 'run', 'check'],
  build: [bun, 'run', 'build'],
};

/** So long the output of a runner that has ended is read on. */
const LEFT_OPEN_MS = 3000;

/** Of what a failed test wrote. */
const FAULT_LINES = 40;

const given = process.argv.slice(2);
const part = given.length === 1 ? given[0] : undefined;
const needed = { unit: [], contract: ['build'], vm: ['build'] }[part ?? ''] ?? Object.keys(steps);

/** Debian's packages, while the steps and the unit tests run. Where one cannot be had, the test that needs it says so. */
const INSTALL = "import { ensurePrograms, PROGRAMS } from './test/helpers/debian.ts'; ensurePrograms(...PROGRAMS)";
const installed = given.length === 0 ? run([bun, '-e', INSTALL]) : Promise.resolve();

const broken: string[] = [];
for (const [name, command] of Object.entries(steps).filter(([name]) => needed.includes(name))) {
  if ((await run(command)) !== 0) broken.push(name);
}

/** A command may run for 45 s by the contract: a test that waits for one needs longer than Bun's 5 s. */
const TIMEOUT_MS = 60_000;
/** What takes 25 s in an emulated machine alone takes several times as long with others on a busy host. */
const MACHINE_TIMEOUT_MS = 300_000;

/** The tests of test/vm that run in a container: they wait for an installer or a service most of the time. */
const CONTAINED = [
  ...['upgrade', 'survival', 'install', 'console', 'package13', 'takeover', 'control', 'doctor', 'logs', 'https'],
  ...['package', 'console-page', 'documents', 'fleet'],
  'container',
  'look',
];
/** Those in an emulated machine, the longest first; what is not named here comes before. */
const EMULATED = ['debian13', 'profiles', 'power', 'freeze', 'limits', 'small', 'boot'];
/** Whose answers have a time limit: it comes last, alone, since its machine has two cores. */
const TIMED = 'hostile';
/** A lane is handed so many files of tests at a time, so that none is left alone with a long folder at the end. */
const FILES_AT_ONCE = 8;

const unnamed = readdirSync(join(import.meta.dir, 'vm'))
  .flatMap((name) => (name.endsWith('.test.ts') ? name.slice(0, -'.test.ts'.length) : []))
  .filter((name) => ![...CONTAINED, ...EMULATED, TIMED].includes(name));
/** These try the executable, the longest folders first; the folders of `units` need none. */
const folders = new Set(['access', 'doors', 'operations', ...readdirSync(join(import.meta.dir, 'contract'))]);
const contract = [...[...folders].map((name) => `test/contract/${name}`), 'test/ops'];
const units = readdirSync(import.meta.dir, { withFileTypes: true })
  .filter((entry) => entry.name.endsWith('.test.ts') || entry.isDirectory())
  .map(({ name }) => `test/${name}`)
  .filter((path) => !['test/vm', 'test/bench', 'test/helpers', 'test/contract', 'test/ops'].includes(path));
const reports: string[] = [];
/** What groups of tests wrote that nobody has seen yet, and the part about each failure. */
const unseen: string[] = [];
const faults: string[] = [];
const seconds: string[] = [];
if (part === 'unit') {
  await runLane([['--parallel', ...units]], true);
} else if (part === 'contract') {
  await runLane([contract], true);
} else if (given.length > 0 && part !== 'vm') {
  await runLane([given], true);
} else {
  // An emulated machine takes one of two cores, or waits; the other tests wait half of the time, for commands.
  const others = part === 'vm' ? [] : [units, ...contract.flatMap(partsOf)];
  const contained = CONTAINED.map(machineTests);
  const emulated = [...unnamed, ...EMULATED].map(machineTests);
  const first = runLane(others, true);
  await installed;
  const containers = runLane(contained, false);
  await Promise.all([
    first.then(() => runLane(contained, true)),
    runLane(others, false).then(() => runLane(contained, false)),
    containers.then(() => runLane(emulated, false)),
    runLane(emulated, false).then(() => runLane(contained, false)),
  ]);
  await runLane([machineTests(TIMED)], true);
}
for (const output of [...unseen, ...faults]) console.log(output);
if (seconds.length > 1) console.log(`seconds, and those of the processors: ${seconds.join(', ')}`);

const { passed, failed, skipped, names } = readReports();
for (const name of names) console.log(`failed: ${name}`);
for (const name of broken) console.log(`failed: ${name}`);
// A step that failed without a failed test (types, the build, a crash of the runner) counts as a failure as well.
const failures = Math.max(failed, broken.length);
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failures > 0 || passed === 0 ? 1 : 0);

/** The files of a folder, in groups. */
function partsOf(folder: string): string[][] {
  const files = readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${folder}/${name}`);
  return Array.from({ length: Math.ceil(files.length / FILES_AT_ONCE) }, (_, part) =>
    files.slice(part * FILES_AT_ONCE, (part + 1) * FILES_AT_ONCE),
  );
}

function machineTests(name: string): string[] {
  return [`test/vm/${name}.test.ts`];
}

/**
 * Runs groups of tests one after the other, each as soon as it is its turn; lanes may share their groups. What they write
 * is seen while they run, or at the end.
 */
async function runLane(groups: string[][], isSeen: boolean): Promise<void> {
  for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
    const report = join(tmpdir(), `agent3-tests-${process.pid}-${reports.length}.xml`);
    reports.push(report);
    const start = performance.now();
    const timeout = group.every((file) => file.startsWith('test/vm/')) ? MACHINE_TIMEOUT_MS : TIMEOUT_MS;
    const command = [bun, 'test', `--timeout=${timeout}`, '--reporter=junit', `--reporter-outfile=${report}`, ...group];
    const child = Bun.spawn(command, { stdio: ['ignore', 'pipe', 'pipe'], cwd: root });
    const streams = [child.stdout, child.stderr].map((stream) => textOf(stream, isSeen));
    const code = await child.exited;
    // A process that a test left behind may hold its output open for as long as it runs: nobody waits for that.
    await Promise.race([Promise.all(streams.map(({ end }) => end)), Bun.sleep(LEFT_OPEN_MS)]);
    const written = streams.map(({ pieces }) => Buffer.concat(pieces).toString());
    if (code !== 0) broken.push('tests');
    if (!isSeen) unseen.push(...written);
    faults.push(...written.flatMap(faultsOf));
    const ofProcessors = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
    const name = group.length === 1 ? group.join() : `${group[0]} …`;
    seconds.push(`${name} ${Math.round((performance.now() - start) / 1000)} (${Math.round(ofProcessors)})`);
  }
}

/** What comes from a stream, piece by piece; `end` resolves when nobody can write to it any more. */
function textOf(
  stream: ReadableStream<Uint8Array>,
  isSeen: boolean,
): { readonly pieces: Uint8Array[]; readonly end: Promise<void> } {
  const pieces: Uint8Array[] = [];
  const read = async (): Promise<void> => {
    for await (const piece of stream) {
      pieces.push(piece);
      if (isSeen) process.stderr.write(piece);
    }
  };
  return { pieces, end: read() };
}

/** What a runner wrote of each test that failed, at most its last lines: it comes once more at the end, where a log is read. */
function faultsOf(written: string): string[] {
  // At its end, the runner names them again.
  const [tests = ''] = written.split(/^\d+ tests? failed:$/m);
  const lines = tests.split('\n');
  return lines.flatMap((line, at) => {
    if (!line.startsWith('(fail)')) return [];
    const before = lines.slice(Math.max(0, at - FAULT_LINES), at);
    return [...before.slice(before.findLastIndex((one) => /^\((?:pass|fail)\)/.test(one)) + 1), line].join('\n');
  });
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
