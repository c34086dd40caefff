import { join } from 'node:path';
import { command, ensurePrograms } from './debian.ts';

ensurePrograms('openssl');

/** Writes a self-signed certificate and its key into `directory`, over those that are there; returns their paths. */
export function makeCertificate(directory: string, name: string): { readonly cert: string; readonly key: string } {
  const cert = join(directory, 'cert.pem');
  const key = join(directory, 'key.pem');
  const request = ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  command([...request, '-days', '2', '-subj', `/CN=${name}`, '-keyout', key, '-out', cert]);
  return { cert, key };
}
