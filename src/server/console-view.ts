import { answerDueAt, GrantKey, type GrantRecord, isKept, isSealed, takesSignIns } from '../access/grant.ts';
import { grantsDirectory, lastUse, readState } from '../connect/grant-state.ts';
import { AgentDoor, type DoorDeps } from '../console/agent-door.ts';
import { clientsOf, isUnprotected, tokensIn } from '../console/clients.ts';
import { type ChangesOfFiles, Past, resterOf } from '../console/past.ts';
import type { Clients, SignInState } from '../console/shown.ts';
import type { TakeOvers } from '../console/take-over.ts';
import { View } from '../console/view.ts';
import { WireServer } from '../console/wire-server.ts';
import { DEFAULT_PRINCIPAL } from '../http/auth.ts';
import { AgentError } from '../lib/errors.ts';
import type { Deps } from './deps.ts';
import { describeServer } from './server-view.ts';

interface Shown extends Pick<DoorDeps, 'inbox' | 'pushes' | 'servers' | 'plans'> {
  /** `AGENT3_CONSOLE_KEY`. */
  readonly key: string;
}

/** Shows the console what waits, runs and has ended. */
export function showState(
  deps: Deps & { readonly takeOvers: TakeOvers; readonly changes: ChangesOfFiles },
  { inbox, key, pushes, servers, plans }: Shown,
): void {
  const { config, store, logger } = deps;
  const grants = grantsDirectory(config.sessionsDirectory);
  const access = async (): Promise<Clients> => ({
    clients: await clientsOf({
      store,
      tokensFile: config.tokensFile,
      usual: { name: DEFAULT_PRINCIPAL, profile: config.profile },
      lastUseOf: (id) => lastUse(grants, id),
      signInOf: (grant) => signInOf(deps, grants, grant),
      rest: resterOf(deps.turns),
    }),
    profiles: [...deps.access.profiles()].map(({ name, description }) => ({ name, description })),
    url: urlOf(deps),
  });
  const isRoot = process.geteuid?.() === 0;
  const hasUnprotected = (): boolean =>
    isRoot &&
    [DEFAULT_PRINCIPAL, ...tokensIn(config.tokensFile).map(({ name, id }) => `${name}#${id}`)].some((principal) => {
      const profile = profileOf(deps, principal);
      return profile !== undefined && isUnprotected(profile);
    });
  const view = new View({ ...deps, hub: servers?.hub, plans }, () => inbox.isDevelopment, hasUnprotected);
  const past = new Past({ ...deps, auditFile: config.auditFile });
  const door = new AgentDoor({
    ...deps,
    view,
    inbox,
    clients: access,
    server: () => describeServer(deps),
    pushes,
    past,
    servers,
    plans,
  });
  const server = new WireServer(config.consoleSocket, key, door.answer, logger);
  server.open();
  deps.shutdown.subscribe(() => server.close());
}

/** URL at which clients sign in; null when they cannot. */
function urlOf({ config: { publicUrl, grantKey, tokensFile } }: Deps): string | null {
  const isOpen =
    publicUrl !== undefined && takesSignIns(publicUrl) && grantKey !== undefined && tokensFile !== undefined;
  return isOpen ? `${publicUrl}/mcp` : null;
}

/** Returns the state of a sign-in whose client is not kept yet; undefined when it is kept or has ended. */
function signInOf({ config, clock }: Deps, directory: string, grant: GrantRecord): SignInState | undefined {
  if (config.grantKey === undefined) return undefined;
  const key = new GrantKey(config.grantKey);
  if (!isSealed(key, grant) || isKept(key, grant)) return undefined;
  const state = readState(directory, key, grant);
  if (typeof state !== 'object')
    return clock.now() < grant.grant.code_expires_at
      ? { until: grant.grant.code_expires_at, arrived: null }
      : undefined;
  if (state.ended !== null || clock.now() >= answerDueAt(grant)) return undefined;
  const { client_name: client, redirect_uri: redirect, address, generation } = state;
  const arrived = generation === 0 ? null : { client, redirect, address };
  return { until: answerDueAt(grant), arrived };
}

function profileOf({ access }: Deps, principal: string) {
  try {
    return access.promisedProfile(principal);
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}
