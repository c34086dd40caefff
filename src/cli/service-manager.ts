import type { ServiceManager } from '../config.ts';
import type { Deps } from '../deps.ts';
import { openNotifySocket } from '../platform/notify.ts';

/** Without a watchdog, how often the number of running commands is told. */
const STATUS_SECONDS = 10;

/** systemd wants a sign of life every half of the watchdog's time (sd_watchdog_enabled(3)); a third survives a slow one. */
const SIGNS_PER_WATCHDOG = 3;

/**
 * Tells systemd (sd_notify(3)) that the agent is ready, how many commands run, that it lives, and that it stops. The
 * signs of life come from the event loop: an agent that hangs sends none, and is killed and started again.
 */
export function reportTo(manager: ServiceManager, { shutdown, commands, logger }: Deps): void {
  if (manager.notifySocket === undefined) return;
  const notify = openNotifySocket(manager.notifySocket);
  let told = '';
  const status = (): string => {
    const count = commands.supervised;
    const words = `STATUS=${count} ${count === 1 ? 'command runs' : 'commands run'}`;
    if (words === told) return '';
    told = words;
    return `${words}\n`;
  };
  if (!notify(`READY=1\n${status()}`)) logger.warn('the service manager takes no notification');
  const periodMs = (manager.watchdogMs ?? STATUS_SECONDS * 1000 * SIGNS_PER_WATCHDOG) / SIGNS_PER_WATCHDOG;
  const life = manager.watchdogMs === undefined ? '' : 'WATCHDOG=1\n';
  const timer = setInterval(() => {
    const message = `${life}${status()}`;
    if (message !== '') notify(message);
  }, periodMs);
  timer.unref();
  shutdown.subscribe(() => notify('STOPPING=1\nSTATUS=stopping'));
}
