import { hostname } from 'node:os';
import { reasonOf } from '../access/freeze.ts';
import { readAtMost, readPlain } from '../lib/files.ts';
import { visibleLine, visibleText } from '../lib/visible.ts';
import { maskCommand } from '../secrets/secrets.ts';
import { keptText } from '../sessions/kept.ts';
import type { Deps } from './deps.ts';

/*
 * Notifications of the owner, except for approvals and sign-ins.
 */

/** Records when the owner freezes and thaws the server, and sends a notification. */
export function reportFreezes({ freeze, trail, logger, notifications, shutdown }: Deps): void {
  let reported = '';
  const report = (): void => {
    const { last, isFrozen } = freeze;
    const now = `${last?.since} ${isFrozen}`;
    if (last === undefined || now === reported) return;
    reported = now;
    const by = visibleLine(isFrozen ? last.by : (last.thawed_by ?? ''));
    const more = { by, reason: reasonOf(last), since: new Date(last.since).toISOString() };
    const what = isFrozen ? 'frozen' : 'thawed';
    const signed = isFrozen ? undefined : last.thaw_signed;
    trail.agent(what, { ...more, ...(signed !== undefined && { signed }) });
    logger.warn(more, `the owner has ${what} the server`);
    notifications.send(`server.${what}`, { host: hostname(), ...more });
  };
  freeze.watch(shutdown);
  if (freeze.isFrozen) report();
  freeze.subscribe(report);
}

const SHOWN_CHARS = 2000;

/** Notifies the owner when a command with `notify` has ended. */
export function reportEnds({ commands, notifications, secrets }: Deps): void {
  commands.watchEnds((record) => {
    if (record.notify !== true || !notifications.isHeard) return;
    const { session, principal, status, exit_code, duration_ms } = record;
    notifications.send('command.ended', {
      host: hostname(),
      session,
      token: visibleLine(principal),
      cmd: visibleText(maskCommand(keptText(record.cmd, SHOWN_CHARS), secrets)).toWellFormed(),
      status,
      exit_code,
      duration_ms,
    });
  });
}

/** State of the watchdog's restarts (`ops/watchdog/spacing.ts`), which only root may write. */
const WATCHDOG_STATE = '/run/agent3-watchdog/state.json';
const MAX_STATE_BYTES = 4096;
/** A start within this time after a restart by the watchdog is that restart. */
const RESTART_MS = 120_000;

/** Notifies the owner that the agent was restarted because it did not answer or had ended. Returns at once. */
export function reportRestart(
  deps: Pick<Deps, 'notifications' | 'logger' | 'clock'>,
  stateFile = WATCHDOG_STATE,
): void {
  const { notifications, logger, clock } = deps;
  const notify = (by: 'watchdog' | 'systemd'): void => {
    logger.warn({ by }, 'the agent was restarted because it did not answer or had ended');
    notifications.send('agent.restarted', { host: hostname(), by });
  };
  if (wasRestarted(stateFile, clock.now())) notify('watchdog');
  else
    restartsOfSystemd().then(
      (count) => count > 0 && notify('systemd'),
      () => {},
    );
}

function wasRestarted(path: string, now: number): boolean {
  try {
    const text = readPlain(path, (fd, { uid }) => (uid === 0 ? readAtMost(fd, MAX_STATE_BYTES) : undefined));
    const { lastRestart } = JSON.parse(text ?? '{}') as { lastRestart?: unknown };
    return typeof lastRestart === 'number' && now >= lastRestart && now - lastRestart < RESTART_MS;
  } catch {
    // There is no file while the agent works.
    return false;
  }
}

/** Returns how often systemd has restarted the unit by itself since it was started. */
async function restartsOfSystemd(): Promise<number> {
  const unit = /([\w@.-]+\.service)(?:\/|$)/m.exec(await Bun.file('/proc/self/cgroup').text())?.[1];
  if (unit === undefined) return 0;
  const child = Bun.spawn(['systemctl', 'show', '--property=NRestarts', '--value', '--', unit], {
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 10_000,
  });
  return Number(await child.stdout.text()) || 0;
}
