import type { CallDeps } from '../calls/context.ts';
import type { FleetDoor } from './door.ts';
import type { HubLinks } from './hub-links.ts';
import type { Runs } from './runs.ts';

/** What the operations of the fleet work with. */
export interface FleetDeps {
  readonly deps: CallDeps;
  readonly door: FleetDoor;
  readonly runs: Runs;
  readonly links: HubLinks;
}
