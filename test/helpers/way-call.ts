import { test } from 'bun:test';
import pino from 'pino';
import { Access, ProfileBook } from '../../src/access/access.ts';
import { AuditLog } from '../../src/audit/audit-log.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { bootId } from '../../src/linux/proc.ts';
import { buildDeps } from '../../src/server/deps.ts';
import { NO_FLEET } from '../../src/server/fleet.ts';
import { Listener } from '../../src/server/listener.ts';
import { loadConfig } from '../../src/settings/config.ts';
import { randomToken } from './binary.ts';
import { TemporaryDirectory } from './directories.ts';

/** Run by test/way.ts, under coverage: an agent in this process, and `WAY_CALLS` calls of `shell` to it. */
test('calls', async () => {
  using directory = new TemporaryDirectory();
  const token = randomToken();
  const config = loadConfig({
    AGENT3_API_TOKEN: token,
    AGENT3_SESSIONS_DIR: directory.join('sessions'),
    AGENT3_AUDIT_FILE: directory.join('audit.jsonl'),
    AGENT3_HOST: '127.0.0.1',
    AGENT3_PORT: '0',
  });
  const logger = pino({ level: 'silent' });
  const access = new Access(new ProfileBook(undefined, systemClock, logger), 'full', undefined, 'default');
  const audit = new AuditLog(directory.join('audit.jsonl'), undefined, systemClock, logger, bootId());
  const deps = buildDeps(config, logger, access, audit);
  deps.store.open();
  const listener = new Listener(deps, undefined, undefined, NO_FLEET);
  listener.open();
  const { url } = listener;
  for (let left = Number(process.env['WAY_CALLS']); left > 0; left--) {
    const response = await fetch(`${url}/shell`, {
      method: 'POST',
      headers: { 'x-auth-token': token, 'content-type': 'application/json' },
      body: JSON.stringify({ cmd: 'echo done' }),
    });
    const { stdout } = (await response.json()) as { readonly stdout?: string };
    if (stdout !== 'done\n') throw new Error(`no answer: ${response.status}`);
  }
  await Bun.sleep(1500);
  listener.stopAccepting();
});
