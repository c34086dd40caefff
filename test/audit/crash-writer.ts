import { AuditLog } from '../../src/audit/audit-log.ts';
import { AuditFault } from '../../src/audit/chain.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { TooManyRequests } from '../../src/lib/errors.ts';

/**
 * An agent as far as its record goes. It writes lines of up to several pages without end, until it is killed; with
 * `once`, a single one, and ends in order.
 */
const parent = process.ppid;
const [path = '', key = '', fileBytes = '', once] = process.argv.slice(2);
const logger = { info: () => {}, warn: () => {} } as never;
const record = new AuditLog(path, key || undefined, systemClock, logger, 'boot', Number(fileBytes));
if (once !== undefined) {
  record.write({ event: 'agent', what: 'started' });
  record.close();
  process.exit();
}
process.on('SIGHUP', () => record.reopen());
process.stdout.write('ready\n');
// A test that was killed kills nobody: then it ends by itself, also where that was before it had begun.
const isWatched = (): boolean => process.ppid === parent && parent !== 1;
for (let line = 0; isWatched(); line++) {
  try {
    record.write({ event: 'start', token: `t${line % 3}`, cmd: 'x'.repeat(Math.random() * 20_000) });
  } catch (error) {
    // Others have moved the file away, and have not told yet.
    if (!(error instanceof TooManyRequests || error instanceof AuditFault)) throw error;
  }
  record.writeLater(() => ({ event: 'end', status: 'done' }));
  if (line % 8 === 0) await record.synced();
  await Bun.sleep(Math.random() < 0.1 ? 2 : 0);
}
