import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeErrno } from '../lib/errors.ts';
import { FleetFileFault } from './roots-file.ts';

/**
 * Both ends pin it when a server joins, so nobody has to renew it, and its dates say nothing: the clock of a server may be
 * far behind.
 */
const DATES = ['-startdate', '20200101000000Z', '-enddate', '20491231235959Z'];

const PATH = '/usr/bin:/bin';

/** The hub's certificate, PEM. Throws `FleetFileFault`. */
export function hubCertificate(directory: string): string {
  const path = join(directory, 'cert.pem');
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new FleetFileFault(`${path} cannot be read: ${describeErrno(error)}`);
  }
}

/** Makes the hub's certificate for these names and addresses, and its key, with OpenSSL, as `cert.pem` and `key.pem`. Throws `FleetFileFault`. */
export function makeHubCertificate(directory: string, ...hosts: readonly string[]): void {
  const [certificate, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const work = mkdtempSync(join(tmpdir(), 'agent3-fleet-'));
  try {
    writeFileSync(join(work, 'index'), '');
    writeFileSync(
      join(work, 'config'),
      configOf(work, hosts.map((host) => (isIP(host) === 0 ? `DNS:${host}` : `IP:${host}`)).join(',')),
    );
    const config = ['-config', join(work, 'config')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl(
      'req',
      '-new',
      ...config,
      ...curve,
      '-subj',
      '/CN=agent3-hub',
      '-keyout',
      key,
      '-out',
      join(work, 'request'),
    );
    const request = ['-selfsign', '-batch', '-notext', '-keyfile', key, '-in', join(work, 'request')];
    openssl('ca', ...config, ...request, ...DATES, '-out', certificate);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function configOf(work: string, name: string): string {
  return `[req]
distinguished_name = subject
[ca]
default_ca = own
[own]
database = ${join(work, 'index')}
new_certs_dir = ${work}
rand_serial = yes
default_md = sha256
policy = subject
x509_extensions = extensions
[subject]
commonName = supplied
[extensions]
subjectAltName = ${name}
basicConstraints = critical, CA:TRUE
`;
}

function openssl(...words: readonly string[]): void {
  if (Bun.which('openssl', { PATH }) === null) throw new FleetFileFault('openssl is missing: apt-get install openssl');
  const { exitCode, stderr } = Bun.spawnSync(['openssl', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH },
  });
  if (exitCode !== 0)
    throw new FleetFileFault(`openssl cannot make the certificate: ${stderr.toString().trim().slice(-300)}`);
}
