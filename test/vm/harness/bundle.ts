import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BINARY } from '../../helpers/binary.ts';

/** What an owner unpacks and installs from: path in the machine → file on the host. */
export const BUNDLE: Readonly<Record<string, string>> = {
  '/opt/bundle/agent3': BINARY,
  '/opt/bundle/ops/install': join(import.meta.dir, '../../../ops/install'),
};

/** Installs from it. The installer ends when the agent answers. */
export const INSTALL_BUNDLE = 'set -e; /opt/bundle/ops/install; sync';

/** What the bytes of the bundle and the way it is installed come to. */
export function bundleHash(): string {
  const hash = new Bun.CryptoHasher('sha256').update(INSTALL_BUNDLE);
  for (const path of Object.values(BUNDLE)) hash.update(readFileSync(path));
  return hash.digest('hex').slice(0, 16);
}
