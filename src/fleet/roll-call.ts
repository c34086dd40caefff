import { Deadline, OneShotEvent } from '../lib/clock.ts';
import { open, type ServerState, STATE } from './envelope.ts';
import { readInventory } from './inventory.ts';
import { KnownServer } from './known-server.ts';
import { stateSubject } from './nats-config.ts';
import { type LineDeps, openRootsLink } from './order-line.ts';

/** A server that has a connection answers within some milliseconds. */
const ANSWER_SECONDS = 2;

/**
 * Asks all servers at once how they are, by a connection of its own: what each says, by its name. A server that is away is
 * missing. Undefined where NATS does not answer. Throws `FleetFileFault`.
 */
export async function callRoll(deps: LineDeps): Promise<Map<string, ServerState> | undefined> {
  const inventory = readInventory(deps.directory);
  const { servers } = inventory;
  const { link: opened, connected } = openRootsLink(inventory, deps);
  using link = opened;
  if (!(await connected())) return undefined;
  const said = new Map<string, ServerState>();
  const waited = new Set(servers.map(({ name }) => name));
  const over = new OneShotEvent();
  const settle = (name: string): void => {
    waited.delete(name);
    if (waited.size === 0) over.fire();
  };
  for (const record of servers) {
    const server = new KnownServer(record);
    link.listen(stateSubject(server.key), ({ data }) => {
      const state = link.read(server, () => open(STATE, data, server.verifier));
      if (state?.server !== server.key) return;
      if (state.leaving) said.delete(record.name);
      else said.set(record.name, state);
      settle(record.name);
    });
    link.ask(server, 'state', () => settle(record.name));
  }
  if (servers.length > 0) await Deadline.after(ANSWER_SECONDS).waitFor(over);
  return said;
}
