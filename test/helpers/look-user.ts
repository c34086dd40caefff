import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LOOK_USER } from '../../src/lib/look-user.ts';

/** Makes the user that a root agent runs `readonly` as, where it is missing. Tests that run at once wait for each other. */
const MAKE = `getent passwd "$1" > /dev/null || useradd --system --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin "$1"`;

if (process.geteuid?.() === 0 && Bun.which('useradd', { PATH: '/usr/sbin:/sbin' }) !== null) {
  const argv = ['flock', join(tmpdir(), 'agent3-tests-user.lock'), 'sh', '-c', MAKE, 'make', LOOK_USER];
  Bun.spawnSync(argv, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } });
}
