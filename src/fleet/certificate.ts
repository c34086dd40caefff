import { isIP } from 'node:net';
import { join } from 'node:path';
import { FleetFileFault } from './roots-file.ts';

/** Both ends pin it when a server joins, so nobody has to renew it. */
const DAYS = '7300';

/** Makes the hub's certificate for `host` and its key with OpenSSL, as `cert.pem` and `key.pem`. Throws `FleetFileFault`. */
export function makeHubCertificate(directory: string, host: string): void {
  const name = isIP(host) === 0 ? `DNS:${host}` : `IP:${host}`;
  const { exitCode, stderr } = Bun.spawnSync(
    [
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', DAYS],
      ...['-subj', '/CN=agent3-hub', '-addext', `subjectAltName=${name}`],
      ...['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: '/usr/bin:/bin' } },
  );
  if (exitCode !== 0)
    throw new FleetFileFault(`openssl cannot make the certificate: ${stderr.toString().trim().slice(-300)}`);
}
