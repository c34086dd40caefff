import { grantsDirectory, lastUse } from '../connect/grant-state.ts';
import { AgentDoor } from '../console/agent-door.ts';
import { clientsOf, isUnprotected } from '../console/clients.ts';
import type { Inbox } from '../console/inbox.ts';
import { Past } from '../console/past.ts';
import type { Pushes } from '../console/push/pushes.ts';
import type { TakeOvers } from '../console/take-over.ts';
import { View } from '../console/view.ts';
import { WireServer } from '../console/wire-server.ts';
import { DEFAULT_PRINCIPAL } from '../http/auth.ts';
import { AgentError } from '../lib/errors.ts';
import type { Deps } from './deps.ts';

/** Shows to the console what waits, runs and has ended. */
export function showState(
  deps: Deps & { readonly takeOvers: TakeOvers },
  inbox: Inbox,
  key: string,
  pushes: Pushes | undefined,
): void {
  const { config, store, logger } = deps;
  const grants = grantsDirectory(config.sessionsDirectory);
  const clients = () =>
    clientsOf({
      store,
      tokensFile: config.tokensFile,
      usual: { name: DEFAULT_PRINCIPAL, profile: config.profile },
      lastUseOf: (id) => lastUse(grants, id),
    });
  const isRoot = process.geteuid?.() === 0;
  const hasUnprotected = (): boolean =>
    isRoot &&
    clients().some(({ name, made }) => {
      const profile = profileOf(deps, made === '' ? name : `${name}#${made}`);
      return profile !== undefined && isUnprotected(profile);
    });
  const view = new View(deps, () => inbox.isDevelopment, hasUnprotected);
  const past = new Past({ ...deps, auditFile: config.auditFile });
  const door = new AgentDoor({ ...deps, view, inbox, clients, pushes, past });
  const server = new WireServer(config.consoleSocket, key, door.answer, logger);
  server.open();
  deps.shutdown.subscribe(() => server.close());
}

function profileOf({ access }: Deps, principal: string) {
  try {
    return access.promisedProfile(principal);
  } catch (error) {
    if (error instanceof AgentError) return undefined;
    throw error;
  }
}
