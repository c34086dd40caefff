import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Inbox, InboxDeps } from '../console/inbox.ts';
import type { Pushes } from '../console/push/pushes.ts';
import type { Hub } from '../fleet/hub.ts';
import { delay } from '../lib/clock.ts';
import { fileFingerprint } from '../lib/files.ts';
import { Growth } from '../sessions/growth.ts';
import { processEnvironment, serviceManager } from '../settings/environment.ts';
import type { Deps } from './deps.ts';

/** Handles the orders of the owner's console; undefined without a console, whose code is then not loaded. */
export async function openConsole(deps: Deps, hub: Hub | undefined): Promise<Inbox | undefined> {
  const { consoleDirectory, consoleKey, passkeysFile } = deps.config;
  if (consoleDirectory === undefined || consoleKey === undefined) return undefined;
  const [{ Inbox }, { TakeOvers }, { OwnerChanges }] = await Promise.all([
    import('../console/inbox.ts'),
    import('../console/take-over.ts'),
    import('./owner-changes.ts'),
  ]);
  const isService = serviceManager(processEnvironment()).notifySocket !== undefined;
  const takeOvers = new TakeOvers(deps);
  const changes = new OwnerChanges(deps);
  const undo: InboxDeps['undo'] = (order, signature) => changes.undo(order, signature);
  const passOn: InboxDeps['passOn'] = hub && ((file) => hub.order(file.order.server ?? '', file));
  const inbox = new Inbox({
    ...deps,
    ...{ takeOvers, undo, passOn, directory: consoleDirectory, passkeysFile, isService },
    plans: hub?.runs,
  });
  inbox.watch(deps.shutdown);
  const pushes = await openPushes(deps, consoleDirectory, isService);
  hub?.onWaiting(() => pushes?.tell('approval.asked', {}));
  (await import('./console-view.ts')).showState(
    { ...deps, takeOvers, changes },
    {
      ...{ inbox, key: consoleKey, pushes, plans: hub?.runs },
      servers: hub && (await import('./servers-of-hub.ts')).openServersView(hub, deps.config, isService),
    },
  );
  await watchTokens(deps);
  if (!isService) obeyOrders(deps, consoleDirectory);
  return inbox;
}

/** Contact for push services when the console has no public URL. */
const NOBODY = 'mailto:agent3@example.org';

/** Notifies the people of the console; undefined without a key for it. */
async function openPushes(deps: Deps, directory: string, isService: boolean): Promise<Pushes | undefined> {
  const { pushKey, passkeysFile, consoleOrigin } = deps.config;
  if (pushKey === undefined) return undefined;
  const { Pushes } = await import('../console/push/pushes.ts');
  const { internet } = await import('../lib/internet.ts');
  const contact = consoleOrigin?.startsWith('https://') ? consoleOrigin : NOBODY;
  const pushes = new Pushes({
    ...deps,
    directory,
    passkeysFile,
    isService,
    secret: pushKey,
    contact,
    network: internet,
  });
  deps.notifications.add(pushes.tell);
  return pushes;
}

/** Interval of checks for a new file, where the kernel does not report it. */
const LOOK_MS = 1000;
/** Pause after a failure, whose order is still there. */
const PAUSE_MS = 1000;

/** Records what root has done with tokens by signed orders. */
async function watchTokens({ config, trail, clock, shutdown }: Deps): Promise<void> {
  const { tokensFile } = config;
  if (tokensFile === undefined) return;
  const { SignedTokens } = await import('../console/signed-tokens.ts');
  const { tokensIn } = await import('../console/clients.ts');
  const signed = new SignedTokens(trail, () => clock.now());
  let seen = '';
  const look = (): void => {
    const now = fileFingerprint(tokensFile);
    if (now === seen) return;
    seen = now;
    signed.look(tokensIn(tokensFile));
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  shutdown.subscribe(() => {
    look();
    clearInterval(timer);
  });
}

/** Runs the orders for root, for an agent that is no service and has no path unit. */
function obeyOrders({ config, ownArgv, shutdown, logger, clock }: Deps, directory: string): void {
  const env = {
    AGENT3_CONSOLE_DIR: directory,
    AGENT3_CONSOLE_ANSWERS: config.consoleAnswers,
    AGENT3_PASSKEYS_FILE: config.passkeysFile,
    ...(config.approvalsDirectory !== undefined && { AGENT3_APPROVALS_DIR: config.approvalsDirectory }),
    ...(config.tokensFile !== undefined && { AGENT3_TOKENS_FILE: config.tokensFile }),
    ...(config.profilesDirectory !== undefined && { AGENT3_PROFILES_DIR: resolve(config.profilesDirectory) }),
    ...(config.fleetDirectory !== undefined && { AGENT3_FLEET_DIR: resolve(config.fleetDirectory) }),
    AGENT3_SESSIONS_DIR: resolve(config.sessionsDirectory),
  };
  const argv = [...ownArgv, 'console', 'obey', '--since', String(clock.now())];
  const orders = join(directory, 'root-orders');
  let isObeying = false;
  let faultBefore = '';
  const look = async (): Promise<void> => {
    if (isObeying || shutdown.fired || !hasEntries(orders)) return;
    isObeying = true;
    // Passed as input, because other processes of this user can read an environment.
    const keys = { AGENT3_GRANT_KEY: config.grantKey, AGENT3_FLEET_KEY: config.fleetKey };
    const stdin = new Blob([JSON.stringify(keys)]);
    const child = Bun.spawn(argv, { cwd: '/', env, stdio: [stdin, 'pipe', 'pipe'] });
    const [code, printed, fault] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    for (const order of printed.split('\n').filter(Boolean)) logger.info({ order }, 'an order of the console for root');
    if (fault !== '' && fault !== faultBefore)
      logger.warn({ code, fault: fault.slice(0, 1000) }, 'the orders of the console for root were not obeyed');
    faultBefore = fault;
    if (code !== 0) await delay(PAUSE_MS);
    isObeying = false;
    // An order may have arrived while it ended.
    void look();
  };
  let growth: Growth | undefined;
  const follow = (): void => {
    if (growth !== undefined || !existsSync(orders)) return;
    growth = new Growth(orders);
    growth.each(() => void look());
  };
  const timer = setInterval(() => {
    follow();
    void look();
  }, LOOK_MS);
  timer.unref();
  follow();
  shutdown.subscribe(() => {
    clearInterval(timer);
    growth?.[Symbol.dispose]();
  });
}

function hasEntries(directory: string): boolean {
  try {
    return readdirSync(directory).length > 0;
  } catch {
    // There is no order yet.
    return false;
  }
}
