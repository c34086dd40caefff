import { EXIT_FAILURE, fail } from './exit.ts';
import { attempt, type FleetOptions, fleetDirectory, inventoryHere, requireFleetOwner } from './fleet-here.ts';
import { describeUnsigned, keysForServers } from './fleet-keys.ts';

/** Prints what root of a server pins: the list of passkeys that servers know, as a line of JSON. */
export async function printPasskeys(options: FleetOptions): Promise<void> {
  const directory = fleetDirectory(options);
  requireFleetOwner(directory, 'fleet passkeys');
  await inventoryHere(directory);
  const known = await attempt(() => keysForServers(directory));
  if (known === undefined) fail(EXIT_FAILURE, 'no passkey is good at the console: sudo agent3 console link');
  process.stdout.write(`${JSON.stringify(known.list)}\n`);
  if (known.isBehind) process.stderr.write(`agent3: ${describeUnsigned(known)}\n`);
}
