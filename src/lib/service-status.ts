/** The connections of an agent to its fleet. */
export interface FleetStatus {
  /** Of a hub: its servers, and how many of them are connected; null: the hub itself is not connected to NATS. */
  readonly servers?: { readonly connected: number | null; readonly all: number };
  /** Of a server: its hub, and since when it is connected, or not; milliseconds since the epoch. */
  readonly hub?: { readonly name: string; readonly isConnected: boolean; readonly since: number };
}

interface ServiceStatus extends FleetStatus {
  /** Commands, and processes they left, that it looks after. */
  readonly commands: number;
  /** Those of them that keep their exit codes through a restart. */
  readonly outliving: number;
  /** The owner has frozen the server. */
  readonly isFrozen: boolean;
}

/** The fields of `STATUS=` (sd_notify(3)): the one thing that systemd keeps of a service, and its main process alone writes. */
export function formatServiceStatus({ commands, outliving, isFrozen, servers, hub }: ServiceStatus): string {
  return [
    `commands=${commands} outliving=${outliving}`,
    ...(isFrozen ? ['frozen'] : []),
    ...(servers === undefined ? [] : [`servers=${servers.connected ?? '-'}/${servers.all}`]),
    ...(hub === undefined ? [] : [`hub=${hub.name} ${hub.isConnected ? 'connected' : 'away'}=${hub.since}`]),
  ].join(' ');
}

const STATUS =
  /^commands=(\d+) outliving=(\d+)( frozen)?(?: servers=(\d+|-)\/(\d+))?(?: hub=([a-z0-9.-]+) (connected|away)=(\d+))?$/;

/** Reads them back; no commands in any other text. */
export function parseServiceStatus(text: string): ServiceStatus {
  const [, commands, outliving, frozen, connected, all, name, state, since] = STATUS.exec(text) ?? [];
  return {
    commands: Number(commands ?? 0),
    outliving: Number(outliving ?? 0),
    isFrozen: frozen !== undefined,
    ...(all !== undefined && {
      servers: { connected: connected === '-' ? null : Number(connected), all: Number(all) },
    }),
    ...(name !== undefined && { hub: { name, isConnected: state === 'connected', since: Number(since) } }),
  };
}

/** The same as a sentence; undefined for an agent without a fleet. */
export function describeFleet({ servers, hub }: FleetStatus): string | undefined {
  const ofHub =
    servers &&
    `hub of ${servers.all} ${servers.all === 1 ? 'server' : 'servers'}, ${servers.connected ?? 'none'} connected`;
  const state = hub?.isConnected === true ? 'connected to' : 'not connected to';
  const ofServer = hub && `${state} its hub, ${hub.name}, since ${new Date(hub.since).toISOString()}`;
  return [ofHub, ofServer].filter((one) => one !== undefined).join('; ') || undefined;
}
