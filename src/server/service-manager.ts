import { formatServiceStatus } from '../lib/service-status.ts';
import { openNotifySocket } from '../linux/notify.ts';
import type { Deps } from '../server/deps.ts';
import type { ServiceManager } from '../settings/config.ts';

/** The number of running commands is told this long after it has changed: not for each of many short ones. */
const STATUS_DELAY_MS = 300;

/** systemd wants a sign of life every half of the watchdog's time (sd_watchdog_enabled(3)); a third survives a slow one. */
const SIGNS_PER_WATCHDOG = 3;

/**
 * Tells systemd (sd_notify(3)) that the agent is ready, how many commands run, that it lives, and that it stops. The
 * signs of life come from the event loop: an agent that hangs sends none, and is killed and started again.
 */
export function reportTo(manager: ServiceManager, { shutdown, commands, logger }: Deps): void {
  if (manager.notifySocket === undefined) return;
  const notify = openNotifySocket(manager.notifySocket);
  const status = (): string => {
    const { supervised, outliving } = commands;
    return `STATUS=${formatServiceStatus({ commands: supervised, outliving })}\n`;
  };
  if (!notify(`READY=1\n${status()}`)) logger.warn('the service manager takes no notification');
  if (manager.watchdogMs !== undefined) {
    setInterval(() => notify('WATCHDOG=1\n'), manager.watchdogMs / SIGNS_PER_WATCHDOG).unref();
  }
  let isDue = false;
  commands.watchCount(() => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      if (!shutdown.fired) notify(status());
    }, STATUS_DELAY_MS);
  });
  shutdown.subscribe(() => notify('STOPPING=1\nSTATUS=stopping'));
}
