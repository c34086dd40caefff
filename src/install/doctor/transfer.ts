import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readTarget } from '../../../ops/watchdog/target.ts';
import { plainOrigin } from '../../lib/addresses.ts';
import { PATHS, SERVICE } from '../layout.ts';
import { bad, type Found, good } from './finding.ts';
import { type Send, sendTo } from './sign-in.ts';

/** More than any other route takes, and than proxies let through unasked. */
const BYTES = 3 * 1_048_576;
const MIB = 1_048_576;

/** Uploads a file by a link, as clients do: by the public URL, where there is one. */
export async function transferFinding(
  values: Readonly<Record<string, string>>,
  domain: string | null,
  sender: (origin: string) => Send = (origin) => sendTo(origin, domain, false),
): Promise<Found> {
  const { origin, token } = readTarget(SERVICE, values);
  const by = plainOrigin(values['AGENT3_PUBLIC_URL'] ?? '') || origin;
  const path = join(values['AGENT3_SESSIONS_DIR'] || PATHS.sessions, `.doctor-${crypto.randomUUID()}`);
  try {
    const init = { method: 'POST', headers: { 'x-auth-token': token }, body: JSON.stringify({ path }) };
    const asked = await sender(origin)('/upload', init);
    const { url, message } = (await asked.json()) as { readonly url?: string; readonly message?: string };
    if (url === undefined) return good(`not tried: the token of the settings may not make links (${message})`);
    const body = new Uint8Array(BYTES);
    // A proxy that takes no large body often cuts the connection.
    const answer = await sender(by)(new URL(url).pathname, { method: 'PUT', body }).catch(() => undefined);
    const { sha256 } = ((await answer?.json().catch(() => ({}))) ?? {}) as { readonly sha256?: string };
    if (sha256 === Bun.SHA256.hash(body, 'hex')) return good(`a file of ${BYTES / MIB} MiB was transferred by ${by}`);
    const advice = domain === null ? 'allow bodies of any size there' : `agent3 install --domain ${domain}`;
    const what = answer === undefined ? 'cut off' : `answered ${answer.status}`;
    return bad(`a file of ${BYTES / MIB} MiB is ${what} by ${by}/transfer/…`, advice);
  } catch {
    return bad(`${origin} does not answer`, 'systemctl status agent3');
  } finally {
    rmSync(path, { force: true });
  }
}
