import type { Inbox } from '../console/inbox.ts';
import { processEnvironment, serviceManager } from '../settings/config.ts';
import type { Deps } from './deps.ts';

/** The orders of the owner's console; undefined where the settings name none: then nothing of it is loaded. */
export async function openConsole(deps: Deps): Promise<Inbox | undefined> {
  const { consoleDirectory, consoleKey, passkeysFile } = deps.config;
  if (consoleDirectory === undefined || consoleKey === undefined) return undefined;
  const { Inbox } = await import('../console/inbox.ts');
  const isService = serviceManager(processEnvironment()).notifySocket !== undefined;
  const inbox = new Inbox({ ...deps, directory: consoleDirectory, passkeysFile, isService });
  inbox.watch(deps.shutdown);
  return inbox;
}
