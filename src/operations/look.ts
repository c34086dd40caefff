import { readFileSync } from 'node:fs';
import { Type } from '@sinclair/typebox';
import type { Hint } from '../calls/answer.ts';
import { type CallContext, lookContext, type OperationDeps } from '../calls/context.ts';
import { confinementOf } from '../commands/confinement.ts';
import { lookBusFault, lookFault } from '../commands/look.ts';
import { showsAllProcesses } from '../sandbox/machine-view.ts';
import type { Session } from '../sessions/session.ts';
import { defineOperation, type Operation } from './operation.ts';
import { commandFields, runCommand } from './shell.ts';
import { shellArguments } from './shell-arguments.ts';
import { CommandChecks, requireCommand } from './shell-checks.ts';

/** What commands of `shell` may have beside these. */
const WITHOUT = { env: {}, interactive: false, pty: false, rows: 24, cols: 120, background: false } as const;

/** `look`: runs one command that cannot change anything, by the steps of `shell`. */
export function lookOperation(deps: OperationDeps): Operation {
  const checks = new CommandChecks(deps);
  const { cmd, cwd, stdin, timeout, keep, max_output } = shellArguments(deps.limits).properties;
  return defineOperation(deps, {
    name: 'look',
    summary: 'Run a command that only reads',
    description:
      'Runs a command that cannot change anything: files are read-only, and there is no network. Shows files, services, logs, processes and ports (cat, systemctl status, journalctl, ps, ss, df). Use shell for all else.',
    args: Type.Object({ cmd, cwd, stdin, timeout, keep, max_output }),
    result: Type.Object(commandFields),
    destructive: false,
    readOnly: true,
    recordsItself: true,
    isOffered: async () => (await lookFault(deps.ownPaths, deps.clock)) === undefined,
    precheck: requireCommand,
    run: async (given, called, ignored) => {
      const context = lookContext(called);
      const unseen = await unseenOf(deps, context, given.cmd);
      return runCommand(deps, checks, { ...WITHOUT, ...given }, context, (session) => [
        ignored,
        unseen ?? refusedHint(session),
      ]);
    },
  });
}

/** Programs that ask systemd by its bus, and those that read /proc. */
const OF_BUS = /\b(?:systemctl|busctl|loginctl|hostnamectl|timedatectl|systemd-analyze)\b/;
const OF_PROCESSES = /\b(?:ps|top|pgrep|pidof|pstree|lsof)\b/;

/** What the sandbox does not show on this machine, where the command asks for it. */
async function unseenOf(deps: OperationDeps, { profile }: CallContext, cmd: string): Promise<Hint> {
  if (OF_BUS.test(cmd)) {
    const fault = await lookBusFault(confinementOf(profile, deps.ownPaths), deps.clock);
    if (fault !== undefined) return toShell(`look has no D-Bus here, so it does not show services: ${fault}.`);
  }
  if (OF_PROCESSES.test(cmd) && !showsAllProcesses(readFileSync('/proc/self/mountinfo', 'utf8')))
    return toShell('look shows its own processes only: /proc is mounted with hidepid here.');
  return undefined;
}

/** The end of the standard error that is looked at. */
const LOOKED_BYTES = 4096;
const NO_NETWORK =
  /Address family not supported|Could ?n.t resolve host|[Cc]ould not resolve|name resolution|Network is unreachable/;
const CHANGES = /Read-only file system|Access denied|Rejected send message|authentication required/i;

/** Why a command has failed that needs what `look` does not have, by what it says. */
function refusedHint(session: Session): Hint {
  const size = session.sizeOf('stderr');
  if (size === 0) return undefined;
  const end = session.stream('stderr').read(Math.max(0, size - LOOKED_BYTES), LOOKED_BYTES);
  const said = Buffer.from(end).toString();
  if (NO_NETWORK.test(said)) return toShell('look has no network.');
  return CHANGES.test(said) ? toShell('look changes nothing.') : undefined;
}

function toShell(text: string): Hint {
  return { text: `${text} Run it with shell.`, calls: ['shell'] };
}
