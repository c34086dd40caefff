import { existsSync } from 'node:fs';
import { describeErrno, isOutOfFiles } from '../lib/errors.ts';
import { LOOK_POLICY } from '../lib/look-user.ts';
import { openMemory, SandboxFault } from '../process/beginning.ts';
import { Descriptors } from '../process/start.ts';
import { deviceView } from './dev-view.ts';
import { hiddenNow } from './hidden.ts';
import { busView, SYSTEM_BUS } from './machine-view.ts';
import { statOrUndefined } from './reach.ts';
import { asUser, type Inside, prepareSandbox, type SandboxSpec, TRUSTED_PATH } from './sandbox.ts';
import {
  describeFailure,
  describeSandboxFault,
  lastLine,
  type MachineFault,
  NO_BUBBLEWRAP,
  surroundingsFor,
} from './sandbox-cause.ts';

/** Changes when bubblewrap is installed, removed or replaced. */
export function bubblewrapFingerprint(): string {
  const path = Bun.which('bwrap', { PATH: TRUSTED_PATH });
  const stat = path === null ? undefined : statOrUndefined(path);
  return stat === undefined ? '' : `${path} ${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}

/** While what is hidden changes, a sandbox is tried so often, with a pause in which a change becomes certain. */
const ATTEMPTS = 8;
const PAUSE_MS = 60;

/**
 * Returns why no command can run in a sandbox here, after a try; undefined if it can. Takes up to 5 s on a busy
 * machine.
 */
export async function sandboxFault(spec: SandboxSpec, attempts = ATTEMPTS): Promise<MachineFault | undefined> {
  if (Bun.which('bwrap', { PATH: TRUSTED_PATH }) === null) return NO_BUBBLEWRAP;
  if (ownsDevices(spec) && deviceView() === undefined)
    return { what: 'the devices of the machine cannot be shielded from root' };
  try {
    const startedMs = performance.now();
    const hidden = hiddenNow(spec);
    const { exitCode, said } = await runIn(spec, ['true']);
    if (exitCode === 0) return undefined;
    // The hidden paths changed meanwhile: the failure is no evidence about the next sandbox.
    const isPassing = hiddenNow(spec) !== hidden;
    if (isPassing && attempts > 1) {
      await Bun.sleep(PAUSE_MS);
      return await sandboxFault(spec, attempts - 1);
    }
    // Running into its time limit only shows that this machine is slow.
    if (performance.now() - startedMs >= PROBE_MS)
      return {
        what: `a sandbox was not made within ${PROBE_MS / 1000} s: the machine is busy; the next calls try it again`,
        isPassing: true,
      };
    const own = /^bwrap: ((?!.*--bind-fd).*)$/.exec(lastLine(said))?.[1] ?? (said === '' ? '' : undefined);
    if (own === undefined) return { what: describeFailure(said), isPassing };
    return { ...describeSandboxFault(own, surroundingsFor(spec.account?.user ?? process.geteuid?.() ?? 0)), isPassing };
  } catch (error) {
    if (error instanceof SandboxFault) return { what: error.message };
    if (isOutOfFiles(error)) return { what: describeErrno(error), isPassing: true };
    // A program that the kernel cannot execute.
    return {
      what: `the programs of a sandbox cannot be started (${String(error)})`,
      cure: 'apt-get install --reinstall bubblewrap',
    };
  }
}

/** No machine has a service of this name. A policy refuses to start it; else the answer is that it does not exist. */
const TRY_TO_START = [
  ...['busctl', '--system', '--timeout=5', 'call', 'org.freedesktop.DBus', '/org/freedesktop/DBus'],
  ...['org.freedesktop.DBus', 'StartServiceByName', 'su', 'org.freedesktop.agent3.Nowhere', '0'],
];

/**
 * Returns why a sandbox must not have the system bus: the policy does not refuse what it should. Undefined if it does.
 */
export async function busFault(spec: SandboxSpec): Promise<MachineFault | undefined> {
  if (!existsSync(SYSTEM_BUS)) return { what: `there is no ${SYSTEM_BUS}` };
  if (!existsSync(LOOK_POLICY))
    return { what: `there is no policy for the bus, ${LOOK_POLICY}`, cure: 'agent3 install' };
  const view = busView(spec.hidden);
  if (typeof view === 'string') return { what: view };
  try {
    const { said } = await runIn(spec, TRY_TO_START);
    if (/denied|rejected/i.test(said)) return undefined;
    return { what: `the system bus does not refuse what it should (${lastLine(said)})`, cure: 'systemctl reload dbus' };
  } catch (error) {
    if (error instanceof SandboxFault) return { what: error.message };
    throw error;
  }
}

/**
 * Whether a command in such a sandbox, which can be made here, may write to a directory: root has no capabilities
 * there.
 */
export async function mayWriteIn(spec: SandboxSpec, directory: string): Promise<boolean> {
  return (await runIn(spec, ['test', '-w', directory, '-a', '-x', directory])).exitCode === 0;
}

async function runIn(spec: SandboxSpec, argv: readonly string[]) {
  using descriptors = new Descriptors();
  const { words, options, filter, descriptors: more } = prepareSandbox(spec, AT_ROOT, descriptors);
  const before = spec.account === undefined ? [] : asUser(spec.account);
  const inputs = [filter, options].map((bytes) => descriptors.add(openMemory(bytes)));
  const probe = Bun.spawn([...before, ...words, ...argv], {
    env: { PATH: TRUSTED_PATH },
    stdio: ['ignore', 'ignore', 'pipe', ...inputs, ...more] as ['ignore', 'ignore', 'pipe'],
    timeout: PROBE_MS,
    killSignal: 'SIGKILL',
  });
  const [said, exitCode] = await Promise.all([new Response(probe.stderr).text(), probe.exited]);
  return { exitCode, said };
}

const AT_ROOT: Inside = { cwd: '/', env: {} };

const PROBE_MS = 5000;

/**
 * Whether a command would own the devices that bwrap(1) binds, and so could change their modes for the whole machine.
 */
function ownsDevices({ account }: SandboxSpec): boolean {
  return account === undefined ? process.geteuid?.() === 0 : account.user === 0;
}
