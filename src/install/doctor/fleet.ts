import { waitFor } from '../../lib/clock.ts';
import { describeFleet } from '../../lib/service-status.ts';
import { HUB_OBEY, PATHS } from '../layout.ts';
import { unitIs } from '../machine.ts';
import { type Service, serviceState } from '../service.ts';
import { bad, type Found, good } from './finding.ts';

type Values = Readonly<Record<string, string>>;

/** Whether the settings make the agent a hub, or a server of one. */
export function isOfFleet(values: Values): boolean {
  return Boolean(values['AGENT3_FLEET_DIR'] || values['AGENT3_HUB_FILE']);
}

/** An agent that was just started is connected within this, and has said so. */
const CONNECT_SECONDS = 4;
const LOOK_MS = 200;

/** The state of the service once all that it has of a fleet is connected; undefined before. */
function connectedState(): Service | undefined {
  const state = serviceState();
  const { servers, hub } = state;
  const isConnected = servers?.connected !== null && hub?.isConnected !== false;
  return isConnected && (servers !== undefined || hub !== undefined) ? state : undefined;
}

/** Is the hub connected to NATS, and the server to its hub, as the agent says. A server that is away is no fault of the hub. */
export async function fleetFinding(values: Values): Promise<Found> {
  const { servers, hub } = (await waitFor(connectedState, CONNECT_SECONDS, LOOK_MS)) ?? serviceState();
  const isHub = Boolean(values['AGENT3_FLEET_DIR']);
  if (isHub ? servers === undefined : hub === undefined)
    return bad(`the agent runs without ${isHub ? 'its fleet' : 'its hub'} yet`, 'systemctl restart agent3');
  if (servers?.connected === null)
    return bad('the hub is not connected to NATS, so it reaches no server', 'journalctl -u agent3-nats -n 20');
  const found = describeFleet({ ...(servers && { servers }), ...(hub && { hub }) }) ?? '';
  if (hub?.isConnected === false)
    return bad(found, 'journalctl -u agent3 -n 20 says why; where the hub has removed this server: agent3 leave');
  const isObeyed = values['AGENT3_HUB_ORDERS_DIR'] === PATHS.hubOrders && unitIs('active', HUB_OBEY);
  if (hub !== undefined && !isObeyed)
    return bad(
      `${found}; root of this server does not obey the hub's console, which cannot freeze it`,
      'agent3 fleet passkeys on the hub, and with what it prints, here: agent3 join --passkeys',
    );
  return good(servers === undefined ? found : `${found}; agent3 fleet list shows which`);
}
