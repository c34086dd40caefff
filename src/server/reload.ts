import type { AuditLog } from '../audit/audit-log.ts';
import type { Log } from '../server/log.ts';
import type { Listener } from './listener.ts';

/**
 * SIGHUP: opens the files of the log and of the audit record again, and reads the certificate again. Settings need a
 * restart. In a terminal it keeps its usual meaning, the end: the person who closes the window wants no agent left behind.
 */
export function reloadOnSignal(log: Log, listener: Listener, audit: AuditLog | undefined): void {
  if (process.stderr.isTTY === true) return;
  process.on('SIGHUP', () => {
    log.reopen();
    try {
      audit?.reopen();
    } catch (error) {
      log.logger.error({ err: error }, 'the audit record was not opened anew; the old file stays in use');
    }
    try {
      listener.reload();
      log.logger.info('reloaded');
    } catch (error) {
      log.logger.error({ err: error }, 'the certificate was not reloaded; the old one stays in use');
    }
  });
}
