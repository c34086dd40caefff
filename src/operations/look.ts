import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { Type } from '@sinclair/typebox';
import { type Profile, userOf } from '../access/profile.ts';
import type { Hint } from '../calls/answer.ts';
import { type CallContext, lookContext, type OperationDeps } from '../calls/context.ts';
import { isolationOf } from '../commands/isolation.ts';
import { lookBusFault, lookFault } from '../commands/look.ts';
import { visibleLine } from '../lib/visible.ts';
import { isHiddenName } from '../sandbox/hidden.ts';
import { showsAllProcesses } from '../sandbox/machine-view.ts';
import type { Session, StreamName } from '../sessions/session.ts';
import { defineOperation, type Operation, SELDOM } from './operation.ts';
import { commandFields, runCommand } from './shell.ts';
import { shellArguments } from './shell-arguments.ts';
import { CommandChecks, requireCommand } from './shell-checks.ts';

/** Arguments of `shell` that `look` does not have. */
const WITHOUT = { env: {}, interactive: false, pty: false, rows: 24, cols: 120, background: false } as const;

/** `look`: runs one command that cannot change anything, by the steps of `shell`. */
export function lookOperation(deps: OperationDeps): Operation {
  const checks = new CommandChecks(deps);
  const { cmd, cwd, stdin, timeout, keep, max_output } = shellArguments(deps.limits).properties;
  return defineOperation(deps, {
    name: 'look',
    summary: 'Run a command to read',
    description:
      'Runs a command that cannot change anything: files are read-only, /tmp is empty, no network. Shows services, logs, processes and ports too.',
    args: Type.Object({ cmd, cwd, stdin, timeout, keep: { ...keep, ...SELDOM }, max_output }),
    result: Type.Object(commandFields),
    destructive: false,
    readOnly: true,
    recordsItself: true,
    isOffered: async () => (await lookFault(deps.ownPaths, deps.clock)) === undefined,
    precheck: requireCommand,
    run: async (given, called, ignored) => {
      const context = lookContext(called);
      const user = userOf(context.profile, process.geteuid?.() === 0);
      const unseen = await unseenOf(deps, context, given.cmd);
      return runCommand(
        deps,
        checks,
        { ...WITHOUT, ...given, ...(OF_SCREENS.test(given.cmd) && { plain: true }) },
        context,
        (session) => [
          ignored,
          unseen ?? hiddenHint(deps, called, context.profile, given) ?? lackingHint(session, user),
        ],
      );
    },
  });
}

/** Programs that ask systemd over D-Bus, and those that read /proc. */
const OF_BUS = /\b(?:systemctl|busctl|loginctl|hostnamectl|timedatectl|systemd-analyze)\b/;
/** Programs that fill the lines of a screen with blanks. */
const OF_SCREENS = /\b(?:h|a|io|if)?top\b|\bsystemd-cgtop\b/;
const OF_PROCESSES = /\b(?:ps|top|pgrep|pidof|pstree|lsof)\b/;

/** Names what the sandbox does not show on this machine, if the command asks for it. */
async function unseenOf(deps: OperationDeps, { profile }: CallContext, cmd: string): Promise<Hint> {
  if (OF_BUS.test(cmd)) {
    const fault = await lookBusFault(isolationOf(profile, deps.ownPaths), deps.clock);
    if (fault !== undefined) return toShell(`look has no D-Bus here, so it does not show services: ${fault}.`);
  }
  if (OF_PROCESSES.test(cmd) && !showsAllProcesses(readFileSync('/proc/self/mountinfo', 'utf8')))
    return toShell('look shows its own processes only: /proc is mounted with hidepid here.');
  return undefined;
}

/** At most so many paths of a command are looked at: each takes a fifth of a millisecond. */
const MOST_PATHS = 10;

/** Names a path of the command that its profile hides, whether it exists or not. */
function hiddenHint(
  { home, ownPaths }: OperationDeps,
  called: CallContext,
  { sandbox }: Profile,
  { cmd, cwd = '/' }: { readonly cmd: string; readonly cwd?: string | undefined },
): Hint {
  const hidden = [...ownPaths, ...(sandbox?.hidden ?? [])];
  const words = cmd.split(/[\s'"`;|&()<>=]+/).filter((word) => word.includes('/'));
  const paths = words.slice(0, MOST_PATHS).map((word) => posix.resolve(cwd, word.replace(/^~(?=\/)/, home)));
  const path = paths.find((one) => isHiddenName(hidden, one));
  if (path === undefined) return undefined;
  const text = `look hides ${visibleLine(path.slice(0, 200))}.`;
  return called.profile.isPlain ? toShell(text) : text;
}

/** How much is read: the end of the standard error, the beginning of the output. */
const LOOKED_BYTES = 4096;
/**
 * Messages of programs that need something which `look` does not have, and what that is. The first that matches is
 * reported.
 */
const LACKS: readonly (readonly [said: RegExp, lack: string])[] = [
  [
    /Address family not supported|could(?:n.t| not) (?:resolve|connect to server)|name resolution|network is unreachable/i,
    'look has no network.',
  ],
  [
    /Failed to (?:connect to|open|get) (?:system )?bus|not been booted with systemd/,
    'look has no D-Bus now, so it does not show services.',
  ],
  [/dial unix|(?:through|on) socket|docker daemon/i, 'look cannot connect to other programs.'],
  [/\/(?:tmp|var\/tmp|run)\/[^\n]*No such file or directory/, 'look begins with an empty /tmp, /var/tmp and /run.'],
  [
    /Read-only file system|Access denied|Rejected send message|authentication required|no new privileges/i,
    'look changes nothing.',
  ],
];

/** Names what the command lacked, according to its messages; `user` runs it, if that is not the agent's user. */
function lackingHint(session: Session, user: string | undefined): Hint {
  const said = textOf(session, 'stderr', Math.max(0, session.sizeOf('stderr') - LOOKED_BYTES));
  const [, lack] = LACKS.find(([text]) => text.test(said)) ?? [];
  if (lack !== undefined) return toShell(lack);
  if (user !== undefined && /Permission denied/i.test(said)) return toShell(`look reads only what ${user} may read.`);
  // Its user namespace has no ids for other users (user_namespaces(7)).
  return /\bnobody\b/.test(textOf(session, 'stdout', 0)) ? 'look shows other users as nobody.' : undefined;
}

function textOf(session: Session, stream: StreamName, from: number): string {
  return session.sizeOf(stream) === 0 ? '' : Buffer.from(session.stream(stream).read(from, LOOKED_BYTES)).toString();
}

function toShell(text: string): Hint {
  return { text: `${text} Run it with shell.`, calls: ['shell'] };
}
