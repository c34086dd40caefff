import { closeSync, writeFileSync } from 'node:fs';
import { describeErrno, errnoOf, InvalidArguments, isOutOfFiles, MachineRefused, TooManyFiles } from '../lib/errors.ts';
import { MAX_ARGUMENT_BYTES } from '../lib/limits.ts';
import { neverBlock, openPipe, PIPE_BYTES } from '../linux/descriptors.ts';
import { bootId } from '../linux/proc.ts';
import type { Status } from '../process/beginning.ts';
import { commandEnvironment } from '../process/environment.ts';
import { type CommandInput, PipeInput } from '../process/input.ts';
import { Descriptors, type StartSpec, start, type WatchedProcess } from '../process/start.ts';
import { TERM, Terminal } from '../process/terminal.ts';
import type { OutputDescriptors } from '../sessions/directories.ts';
import type { NewSession } from '../sessions/record.ts';
import type { Session } from '../sessions/session.ts';
import type { CommandDeps, NewCommand } from './command.ts';
import { type Isolation, requireLimits } from './isolation.ts';
import { isolationPrefix, notRun } from './isolation-prefix.ts';
import { giveAway, openInput, passCommand } from './pass-command.ts';

/** A command that was started. */
export interface Launched {
  readonly process: WatchedProcess;
  /** Its standard input, if that stays open. */
  readonly input: CommandInput | undefined;
  /** Of an isolated command: reports whether it has begun. The caller closes it. */
  readonly status: Status | undefined;
}

/** Returns what a session is made from; the other properties of a command are not kept. */
export function detailsOf(command: NewCommand): NewSession {
  const {
    env: _e,
    stdin: _s,
    size,
    keepsExitCode: _k,
    revalidate: _r,
    input,
    isolation,
    held,
    dialog: _d,
    file: _f,
    ...details
  } = command;
  const file_max = isolation?.fileBytes;
  return {
    ...details,
    ...(input !== 'closed' && { input }),
    ...(input === 'terminal' && { size }),
    ...(file_max !== undefined && { file_max }),
    ...(held !== undefined && { context: { name: held.name, walls: held.walls } }),
  };
}

/** Puts the start of a new session's command on record, then starts it; closes the descriptors. Throws as `launch`. */
export function launchOnRecord(
  deps: CommandDeps,
  session: Session,
  output: OutputDescriptors,
  command: NewCommand,
): Launched {
  recordStart(deps, session, output, command);
  return launchRecorded(deps, session, output, command);
}

/** Puts the start of a command on record. Throws `MachineRefused`; then the descriptors are closed. */
export function recordStart(deps: CommandDeps, session: Session, output: OutputDescriptors, command: NewCommand): void {
  const { isolation } = command;
  const isSandboxed = isolation?.sandbox !== undefined;
  const user = isolation?.account?.name ?? deps.account.name;
  try {
    deps.trail.started(session, { ...command, user, isSandboxed });
  } catch (error) {
    for (const fd of [output.stdout, output.stderr]) closeSync(fd);
    throw error;
  }
}

/** Starts the command of a new session whose start is on record; closes the descriptors. Throws as `launch`. */
export function launchRecorded(
  deps: CommandDeps,
  session: Session,
  output: OutputDescriptors,
  command: NewCommand,
): Launched {
  const { trail } = deps;
  try {
    return launch(deps, session, output, command);
  } catch (error) {
    trail.failed(session, error);
    throw error;
  }
}

/**
 * Starts the command of a new session; closes the descriptors. Throws `InvalidArguments` if the system refuses the
 * directory or the environment, `MachineRefused` if the machine lacks resources, and `Frozen`.
 */
function launch(deps: CommandDeps, session: Session, output: OutputDescriptors, command: NewCommand): Launched {
  const { env, stdin, input: wanted, size, keepsExitCode, isolation } = command;
  using descriptors = new Descriptors();
  const closing = [output.stderr];
  let input: CommandInput | undefined;
  try {
    if (isolation !== undefined) holdOutput(session, output, isolation);
    if (wanted !== 'closed') session.update({});
    const terminal =
      wanted === 'terminal' ? new Terminal(size, output.stdout, deps.timings.terminal(session)) : undefined;
    if (terminal === undefined) closing.push(output.stdout);
    input = terminal;
    let reading: number | 'ignore' = 'ignore';
    if (wanted === 'pipe') ({ reading, input } = openKeptInput(stdin));
    if (wanted === 'closed') reading = stdin === '' ? 'ignore' : openInput(session, Buffer.from(stdin));
    if (reading !== 'ignore') closing.push(reading);
    const added = terminal === undefined ? env : { TERM, ...env };
    const { cwd } = session.record;
    const inside = { cwd, env: commandEnvironment(isolation?.account ?? deps.account, session.id, added) };
    const prefix = isolation && isolationPrefix(isolation, inside, descriptors);
    const more: number[] = [];
    for (const bytes of prefix?.inputs ?? []) {
      const fd = openInput(session, bytes);
      closing.push(fd);
      more.push(fd);
    }
    more.push(...(prefix?.descriptors ?? []));
    const text = fitsArgument(command)
      ? command.cmd
      : passCommand(session, command, FIRST_DESCRIPTOR, more, descriptors);
    // Right before the start: in a frozen cgroup, the start would not return.
    deps.freeze.require('Nothing was run.');
    if (terminal === undefined) deps.reopened.watch(session, output);
    const process = startInCgroup(deps, session, isolation, {
      argv: [
        ...(keepsExitCode
          ? ['/bin/sh', '-c', keepingExitCode(FIRST_DESCRIPTOR + more.length, terminal), session.path('exit_code')]
          : []),
        ...(prefix?.words ?? []),
        // After `--`, a command that begins with a dash is not an option of the shell.
        ...[deps.settings.shell, '-c', '--', text],
      ],
      more,
      cwd: prefix?.cwd ?? cwd,
      env: prefix?.env ?? inside.env,
      stdin: terminal ?? reading,
      ...output,
    });
    terminal?.write(Buffer.from(stdin));
    for (const fd of prefix?.status.kept ?? []) descriptors.take(fd);
    return { process, input, status: prefix?.status };
  } catch (error) {
    session.letGo();
    deps.reopened.end(session);
    if (input === undefined && wanted === 'terminal') closing.push(output.stdout);
    input?.release();
    throw startError(error, isolation);
  } finally {
    for (const fd of closing) closeSync(fd);
  }
}

/**
 * An isolated command writes to its output, and can open it again by /dev/stderr, but does not own it: it cannot change
 * its mode. An agent that is not root cannot assign another owner: it keeps its own descriptors for reading.
 */
function holdOutput(session: Session, { stdout, stderr }: OutputDescriptors, isolation: Isolation): void {
  if (process.geteuid?.() === 0) giveAway([stdout, stderr], isolation);
  else if (isolation.sandbox !== undefined) session.keepReadable();
}

/** Returns a pipe that already contains `stdin`, and whose writing end stays open. */
function openKeptInput(stdin: string): { readonly reading: number; readonly input: CommandInput } {
  const bytes = Buffer.from(stdin);
  const pipe = openPipe(bytes.length);
  if (pipe === undefined) {
    if (bytes.length <= PIPE_BYTES) throw new TooManyFiles(new Error('no pipe'));
    throw new InvalidArguments('stdin is too long for an input that stays open. Send the rest with write_session.');
  }
  writeFileSync(pipe.writing, bytes);
  neverBlock(pipe.writing);
  return { reading: pipe.reading, input: new PipeInput(pipe.writing) };
}

/** The errors of a start if its cgroup is the reason: it was removed, or the access to it. */
const CGROUP_ERRNOS: ReadonlySet<string | undefined> = new Set(['ENOENT', 'EACCES', 'EPERM', 'EBUSY', 'EOPNOTSUPP']);

/** Starts a command in its own cgroup. If that is refused, it runs in the agent's, and the log has a warning. */
function startInCgroup(
  deps: CommandDeps,
  session: Session,
  isolation: Isolation | undefined,
  spec: Omit<StartSpec, 'cgroup'>,
): WatchedProcess {
  if (deps.cgroups === undefined) return start({ ...spec, cgroup: undefined });
  const cgroup = deps.cgroups.make(session.id, isolation?.limits);
  try {
    if (cgroup !== undefined) return start({ ...spec, cgroup: cgroup.path });
  } catch (error) {
    cgroup?.remove();
    if (!CGROUP_ERRNOS.has(errnoOf(error))) throw error;
  }
  requireLimits(isolation, false);
  deps.logger.warn({ session: session.id }, 'no cgroup is available for this command; a restart of the agent ends it');
  return start({ ...spec, cgroup: undefined });
}

/** The first descriptor after the streams. */
const FIRST_DESCRIPTOR = 3;

/** Signals that end a shell, and for which it can set a trap. */
const PASSING = 'HUP INT QUIT ALRM PIPE TERM USR1 USR2 VTALRM PROF XCPU XFSZ';

/** The highest descriptor that sh(1) can name. */
const HIGHEST_NAMED = 9;

/**
 * Runs a command and writes its exit code to a file next to its output: $0 is the file, the rest the command. A signal
 * from the terminal or the command to the whole group may end the command; this shell waits for that (traps are not
 * passed on, sh(1)). It writes the file itself: systemd would end a process that it had just started for that. Messages
 * of this shell about a signal are not output of the command: `free` is a descriptor that keeps the command's standard
 * error.
 */
function keepingExitCode(free: number, terminal: Terminal | undefined): string {
  const run = free > HIGHEST_NAMED ? '"$@"' : `exec ${free}>&2 2> /dev/null; (exec "$@" 2>&${free} ${free}>&-)`;
  const rest = terminal === undefined ? '' : `${LAST_WRITES}; `;
  return `trap : ${PASSING}; ${run}; code=$?; umask 077; echo "$code" > "$0"; ${rest}exit "$code"`;
}

/**
 * When the first process of a terminal ends, the kernel hangs up on the others. So processes that the command has left
 * there get a fifth of a second for their last output, as in `afterLastWrites`. Those in the session of this shell are
 * found by the fourth field after the name in /proc/PID/stat (proc(5)); the shell itself and grep(1) are two.
 */
const LAST_WRITES = `for pause in 0.01 0.03 0.06 0.1; do set -- $(grep -lsE "\\) [^Z] [0-9]+ [0-9]+ $$ " /proc/[0-9]*/stat)
[ "$#" -gt 2 ] || break; sleep $pause; done`;

const NOT_THERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'EACCES', 'ENOEXEC']);
const MISSING_PROGRAM =
  'a program for that is missing or cannot be run (on Debian: apt-get install bubblewrap util-linux)';

/** Returns the error for the client if the system refused a start. */
export function startError(error: unknown, isolation?: Isolation): unknown {
  if (isOutOfFiles(error)) return new TooManyFiles(error);
  switch (errnoOf(error)) {
    case 'E2BIG':
      return new InvalidArguments(
        'cmd and env together are larger than Linux passes to a program. Send large data in stdin instead of env.',
      );
    case undefined:
      return error;
    default:
      // Its programs begin in /: one of them is missing.
      if (isolation !== undefined && NOT_THERE.has(errnoOf(error))) return notRun(MISSING_PROGRAM, error);
      return new MachineRefused(
        `The command was not started: ${describeErrno(error)}. Repeat the call. If it fails again, tell the owner of the server.`,
        error,
      );
  }
}

/** Commands that run for longer than this have their start time recorded. */
const START_TIME_DELAY_MS = 250;

/**
 * Records which process the command is. The start time follows when the command has run for a moment: until then the
 * session's mark identifies the process, and reading /proc takes a sixth of the time of a short command. Then new
 * commands go first.
 */
export function recordProcess(deps: CommandDeps, session: Session, process: WatchedProcess): void {
  const { pid } = process;
  updateRecord(deps, session, { process: { pid, startTicks: null, bootId: bootId() } });
  const timer = setTimeout(() => {
    const startTicks = process.startTicks();
    if (startTicks === undefined) return;
    updateRecord(deps, session, { process: { pid, startTicks, bootId: bootId() } });
    deps.cgroups?.lower(session.id);
    deps.timings.follow(session, START_TIME_DELAY_MS, process.exited);
  }, START_TIME_DELAY_MS);
  process.exited.subscribe(() => clearTimeout(timer));
}

/** If the disk refuses a record, it stays in memory: the answer is right, and the log has the error. */
export function updateRecord(deps: CommandDeps, session: Session, change: Parameters<Session['update']>[0]): void {
  try {
    session.update(change);
  } catch (error) {
    deps.logger.warn({ session: session.id, err: error }, 'the record of a session could not be written');
  }
}

/** Whether the text of a command is passed to its shell as an argument. One argument may have 128 KiB on Linux. */
function fitsArgument({ cmd, held }: NewCommand): boolean {
  return held === undefined && Buffer.byteLength(cmd) <= MAX_ARGUMENT_BYTES;
}
