import type { Command } from '@commander-js/extra-typings';
import { addressOf } from '../../ops/watchdog/target.ts';
import { reasonOf } from '../access/freeze.ts';
import { describeUnwritten, type FreezeTarget, freezeServer, thawServer } from '../install/freezing.ts';
import { installedSettings } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';
import { decisionsHere } from './here.ts';
import { runInstaller, writeLine } from './install.ts';

/** `agent3 freeze`. */
export function defineFreeze(command: Command): void {
  command
    .argument('[reason...]', 'reason, shown to the clients')
    .addHelpText('after', FREEZE_HELP)
    .action((words) => {
      const target = freezeTarget('freeze');
      return runInstaller(async () => {
        const result = await freezeServer(target, words.join(' '));
        const fault = describeUnwritten(result);
        if (fault !== undefined) fail(EXIT_FAILURE, fault);
        const { freeze, wasBefore, withoutSystemd } = result;
        const since = new Date(freeze.since).toISOString();
        writeLine(
          wasBefore
            ? `The server is already frozen, since ${since}, by ${freeze.by} (${reasonOf(freeze)}).`
            : 'The server is frozen: nothing starts, and running commands are paused. To resume: sudo agent3 thaw',
        );
        if (withoutSystemd !== undefined)
          writeLine(
            `Note: ${withoutSystemd}. So the agent pauses its commands with SIGSTOP, which other processes of its user can undo.`,
          );
      });
    });
}

const FREEZE_HELP = `
Only root freezes and thaws. Every call that starts or changes something is answered 503 Frozen with the reason;
reading continues. Time limits stand still. The freeze survives restarts of the agent and of the machine.
Not reached: what a command has started outside of the agent, by cron, systemd-run, a container or another user.

Examples:
  sudo agent3 freeze
  sudo agent3 freeze 'I look at what happened to the backup'
  sudo agent3 thaw`;

/** `agent3 thaw`. */
export function defineThaw(command: Command): void {
  command.action(() => {
    const target = freezeTarget('thaw');
    return runInstaller(() => {
      const freeze = thawServer(target);
      writeLine(freeze === undefined ? 'The server is not frozen.' : 'The server is thawed: everything resumes.');
    });
  });
}

function freezeTarget(verb: string): FreezeTarget {
  if (process.geteuid?.() !== 0) fail(EXIT_USAGE, `only root may do this: sudo agent3 ${verb}`);
  const { SUDO_USER, LOGNAME } = processEnvironment();
  const decisions = decisionsHere();
  return {
    decisions,
    by: (SUDO_USER ?? LOGNAME ?? 'root').slice(0, 100),
    origin: decisions === PATHS.approvals ? addressOf(installedSettings()).origin : undefined,
  };
}
