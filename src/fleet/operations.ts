import { type TObject, Type } from '@sinclair/typebox';
import { type Call, revalidate, underPolicy } from '../calls/context.ts';
import { preview } from '../lib/describe-schema.ts';
import { InvalidArguments } from '../lib/errors.ts';
import type { Operation } from '../operations/operation.ts';
import type { FleetDoor, FleetServer } from './door.ts';
import type { FleetDeps } from './fleet-deps.ts';
import { serverWithTag } from './follow-away.ts';
import { parseFleetId } from './ids.ts';
import { listServersOperation } from './list-servers.ts';
import { manyOperations } from './run-on.ts';
import { withRuns } from './stop-run.ts';

/** They are told with `server` where they work. */
const BY_SERVER: readonly string[] = [
  'shell',
  'look',
  'list_sessions',
  'read_file',
  'write_file',
  'edit_file',
  'undo',
  'upload',
  'download',
  'server_info',
];
/** The id says where they work. */
const BY_SESSION: readonly string[] = ['read_session', 'write_session', 'kill_session', 'close_session'];
/** They answer with a link: to the hub, which passes the bytes on. */
const LINKS: readonly string[] = ['upload', 'download'];
/** They are done also while the hub is frozen, as on the hub itself; each server has its own freeze. */
const WHILE_FROZEN: readonly string[] = [
  'list_sessions',
  'read_session',
  'kill_session',
  'close_session',
  'server_info',
];

/** Whether a server does this for its hub. */
export function isForServers(operation: string): boolean {
  return BY_SERVER.includes(operation) || BY_SESSION.includes(operation);
}

/** The operations of a hub: those of an agent, on the server that a call names, and those of the fleet. */
export function fleetOperations(operations: readonly Operation[], fleet: FleetDeps): Operation[] {
  const routed = operations.map((operation) => {
    if (BY_SESSION.includes(operation.name)) {
      const bySessions = withRoute(fleet, operation, operation.args, bySession);
      return operation.name === 'kill_session' ? withRuns(fleet, bySessions) : bySessions;
    }
    return BY_SERVER.includes(operation.name)
      ? withRoute(fleet, operation, withServer(operation), byServer)
      : operation;
  });
  return [listServersOperation(fleet), ...manyOperations(fleet), ...routed].map((one) => ({ ...one, isBrief: true }));
}

/** Where a call goes, and with which arguments: `here` is the hub itself. */
interface Route {
  readonly server: FleetServer | 'here';
  readonly args: Readonly<Record<string, unknown>>;
  /** The call has named the hub: its answer does too. */
  readonly isNamed: boolean;
}

type Router = (door: FleetDoor, operation: string, args: Readonly<Record<string, unknown>>, isLean: boolean) => Route;

function withRoute({ deps, door, links }: FleetDeps, operation: Operation, args: TObject, route: Router): Operation {
  const { name, readOnly } = operation;
  const subject = {
    name,
    needs: name,
    readOnly,
    recorded: 'before',
    whileFrozen: WHILE_FROZEN.includes(name),
  } as const;
  const isLink = LINKS.includes(name);
  return {
    ...operation,
    args,
    // A server may have what the hub lacks.
    isOffered: isLink ? operation.isOffered : () => Promise.resolve(true),
    wasOffered: isLink ? operation.wasOffered : () => true,
    invoke: async (raw, call) => {
      const { server, args: given, isNamed } = route(door, name, argumentsOf(raw), call.isLean === true);
      if (server === 'here') {
        const answer = await operation.invoke(given, call);
        return isNamed ? { server: door.hubName, ...answer } : answer;
      }
      const request = call.request ?? Bun.randomUUIDv7();
      const through: Call = { ...call, request, via: { server: `${server.name}@${server.tag}`, request } };
      return underPolicy(deps, subject, given, through, async (context) => {
        if (isLink) links.requireRoom(context.principal);
        const answer = await door.callServer(server, name, given, context);
        revalidate(context, `, so the answer of ${server.name} is withheld. What was begun there continues`);
        if (isLink) return links.adopt(server, answer, context);
        return answer;
      });
    },
  };
}

/** What is no object, the operation itself refuses. */
function argumentsOf(raw: unknown): Readonly<Record<string, unknown>> {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? { ...raw } : {};
}

function byServer(
  door: FleetDoor,
  operation: string,
  { server: named, ...args }: Readonly<Record<string, unknown>>,
  isLean: boolean,
): Route {
  if (named === undefined || named === null) {
    if (isLean) throw new InvalidArguments(`server is required, one of ${namesOf(door)}. ${operation} was not done.`);
    return { server: 'here', args, isNamed: false };
  }
  if (named === door.hubName) return { server: 'here', args, isNamed: true };
  return { server: serverOf(door, named), args, isNamed: true };
}

/** Names of contexts bear the tag as well where they name no `server`: close_session. */
function bySession(
  door: FleetDoor,
  operation: string,
  { server: said, ...args }: Readonly<Record<string, unknown>>,
): Route {
  const named = ['session', 'context'].flatMap((field) => {
    const value = args[field];
    return typeof value === 'string' ? [{ field, ...parseFleetId(value) }] : [];
  });
  const [tag, ...more] = new Set(named.map((one) => one.tag));
  if (more.length > 0) throw new InvalidArguments('session and context belong to different servers. Nothing was done.');
  const server = tag === undefined ? ('here' as const) : serverWithTag(door, tag);
  const name = server === 'here' ? door.hubName : server.name;
  if (named.length > 0 && said !== undefined && said !== null && said !== name)
    throw new InvalidArguments(`That is on ${name}, not on ${preview(said)}, so ${operation} was not done.`);
  if (server === 'here') return { server, args, isNamed: false };
  const ids = Object.fromEntries(named.map(({ field, id }) => [field, id]));
  return { server, args: { ...args, ...ids }, isNamed: true };
}

function serverOf(door: FleetDoor, named: unknown): FleetServer {
  const server = door.servers().find(({ name }) => name === named);
  if (server !== undefined) return server;
  throw new InvalidArguments(`server must be one of ${namesOf(door)}, not ${preview(named)}. Nothing was done.`);
}

const MOST_NAMED = 30;

/** The names that a call may give. */
export function namesOf(door: FleetDoor): string {
  const names = [door.hubName, ...door.servers().map(({ name }) => name)];
  const more = names.length - MOST_NAMED;
  return `${names.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more that list_servers shows` : ''}`;
}

/** Said once: a list of tools is read whole, and each character of it costs. */
const SAID_WITH = 'shell';

/** `server` comes first: also who reads the arguments sees it before the command. */
function withServer({ name, args }: Operation): TObject {
  const server = Type.String(name === SAID_WITH ? { description: 'A name from list_servers; never guess it.' } : {});
  return Type.Object({ server, ...args.properties });
}
