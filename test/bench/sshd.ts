import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../helpers/ports.ts';

const SSHD = '/usr/sbin/sshd';

/** An sshd of its own that lets root in by a key, until the bench ends; the reason, as a text, where it cannot run. */
export async function startSshd(directory: string): Promise<{ readonly port: number; readonly key: string } | string> {
  if (Bun.which(SSHD) === null) return 'no sshd (apt-get install openssh-server)';
  if (process.geteuid?.() !== 0) return 'the bench is not root';
  for (const name of ['host', 'key'])
    Bun.spawnSync(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(directory, name)]);
  const port = await freePort();
  const settings = [
    ...[`Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${join(directory, 'host')}`],
    ...[
      `AuthorizedKeysFile ${join(directory, 'key.pub')}`,
      'StrictModes no',
      'UsePAM no',
      'PidFile none',
      'Subsystem sftp internal-sftp',
    ],
  ];
  writeFileSync(join(directory, 'sshd_config'), settings.join('\n'));
  mkdirSync('/run/sshd', { recursive: true });
  const child = Bun.spawn([SSHD, '-D', '-f', join(directory, 'sshd_config')], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  process.once('exit', () => child.kill());
  return { port, key: join(directory, 'key') };
}
