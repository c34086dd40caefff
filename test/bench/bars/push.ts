import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idOfEndpoint } from '../../../src/console/push/subscription.ts';
import { startAgent } from '../../helpers/agent.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { freePort } from '../../helpers/ports.ts';
import { PushBrowser } from '../../helpers/push-browser.ts';
import { NETWORK_PROGRAMS, SmallInternet } from '../../helpers/small-internet.ts';
import { limitRow, median, missingRow, type Row } from '../bar.ts';
import { rssMib } from '../servers.ts';

const TRIES = 10;
/** Requests for approval within this time are one push. */
const TOGETHER_MS = 3000;
const CAREFUL = 'extends = "full"\n[[rules]]\naction = "confirm"\ncommand = "rm"\n';

/** From the call of a command that has to be approved to its push at the service, over TLS, on this machine. */
export async function pushes(): Promise<Row[]> {
  const name = 'Push: from a call that waits for approval to its push at the service';
  if (process.geteuid?.() !== 0) return [missingRow(name, 'only root makes a network of its own')];
  const missing = ensurePrograms(...NETWORK_PROGRAMS);
  if (missing.length > 0) return [missingRow(name, `there is no ${missing.join(', ')}`)];
  const port = await freePort();
  await using net = await SmallInternet.open(port);
  using place = new TemporaryDirectory();
  using files = new ConsoleFiles();
  for (const directory of ['profiles.d', 'approvals']) mkdirSync(place.join(directory), { mode: 0o755 });
  writeFileSync(place.join('profiles.d/careful.toml'), CAREFUL);
  await files.pin();
  await using agent = await startAgent(
    {
      ...files.settings,
      ...net.settings,
      AGENT3_PORT: String(port),
      AGENT3_APPROVALS_DIR: place.join('approvals'),
      AGENT3_PROFILES_DIR: place.join('profiles.d'),
      AGENT3_PROFILE: 'careful',
      AGENT3_PUSH_KEY: 'p'.repeat(40),
    },
    net.before,
  );
  const { endpoint, keys } = new PushBrowser('https://fcm.googleapis.com/push/phone');
  const path = join(files.directory, 'subscriptions', `${idOfEndpoint(endpoint)}.json`);
  const of = (await files.phone.passkey()).id;
  const before = rssMib(agent.pid);
  writeFileSync(path, JSON.stringify({ endpoint, ...keys, events: ['waits'], of, made_at: 1 }), { mode: 0o640 });
  chownSync(path, files.owner, files.group);
  const took: number[] = [];
  for (let count = 1; count <= TRIES; count++) {
    const start = performance.now();
    await agent.shell({ cmd: 'rm -f none' });
    while (net.pushed.length < count) await Bun.sleep(1);
    took.push(performance.now() - start);
    await Bun.sleep(TOGETHER_MS + 200);
  }
  return [
    limitRow(name, median(took), 'ms', 1000),
    limitRow('the same, slowest of 10', Math.max(...took), 'ms', 1000),
    limitRow('the same: growth of the agent’s RSS', rssMib(agent.pid) - before, 'MiB', 16),
  ];
}
