import type { PassOn } from '../console/passed-on.ts';
import { SigningKey } from '../fleet/keys.ts';
import { OrderLine } from '../fleet/order-line.ts';

/** Root's way to the servers of the fleet in a directory. Throws for what is no key. */
export function passingOn(directory: string, seed: string, tell: (line: string) => void): PassOn {
  const say = (fields: Readonly<Record<string, unknown>>, text: string): void =>
    tell(`${text}: ${String(fields['fault'] ?? fields['err'] ?? '')}`);
  const line = new OrderLine({ directory, key: keyOf(seed), logger: { info: () => {}, warn: say } });
  return (file) => line.send(file.order.server ?? '', file);
}

function keyOf(seed: string): SigningKey {
  try {
    return SigningKey.ofSeed(seed);
  } catch {
    // Its own words could show a part of it.
    throw new Error('AGENT3_FLEET_KEY is not a key of SU and 56 letters');
  }
}
