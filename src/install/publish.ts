import { waitFor } from '../lib/clock.ts';
import { importSites, isImported, putSite, reloadCaddy, type SitePath, siteAnswers, siteLeadsTo } from './caddy.ts';
import { CONSOLE_PORT } from './console-settings.ts';
import { hasConsoleSite } from './inventory.ts';
import { PATHS } from './layout.ts';
import { portFault, unitIs } from './machine.ts';
import type { Situation } from './survey.ts';

const SITE_SECONDS = 15;
const LOOK_MS = 250;

/**
 * Has Caddy serve the agent, which listens at `origin`, and the console, where they have a name, and looks whether it does.
 * A site that leads to the agent stays as its owner has it.
 */
export async function publish(situation: Situation, origin: string): Promise<void> {
  const { options, changes, notes, input } = situation;
  const { domain } = input;
  const before = changes.count;
  const hostAndPort = origin.replace(/^https?:\/\//, '');
  const isNew = domain !== null && (options.domain !== undefined || !siteLeadsTo(changes, hostAndPort));
  // Caddy takes an upstream without a scheme for one of plain HTTP.
  if (isNew) putSite(changes, domain, origin.replace('http://', ''));
  const sites: SitePath[] = isNew ? [PATHS.caddySite] : [];
  if (await isConsoleNew(situation)) sites.push(PATHS.consoleSite);
  importSites(changes, sites, before);
  // The site of the console was written with the other files.
  const isConsoleOld = hasConsoleSite(input) && isImported(changes, PATHS.consoleSite);
  if (isConsoleOld && changes.count === before && before > 0 && !changes.dryRun) reloadCaddy();
  if (!isNew) return;
  if (!unitIs('enabled', 'caddy.service')) notes.push('Caddy does not start at boot: systemctl enable caddy');
  if (changes.dryRun || (await waitFor(async () => (await siteAnswers(domain)) || undefined, SITE_SECONDS, LOOK_MS)))
    return;
  notes.push(
    `nobody answers on https://${domain}/ yet: the name has to point to this machine, and ports 80 and 443 have to be open. Then look with: agent3 doctor`,
  );
}

/** Whether Caddy has to take the site of the console. Where another program has the port, a note says so. */
async function isConsoleNew({ changes, input, notes }: Situation): Promise<boolean> {
  if (!hasConsoleSite(input) || isImported(changes, PATHS.consoleSite)) return false;
  if (!input.console?.endsWith(`:${CONSOLE_PORT}`) || (await portFault('0.0.0.0', CONSOLE_PORT)) === undefined)
    return true;
  notes.push(
    `port ${CONSOLE_PORT} is taken by another program, so nobody serves the console. Free it, then: agent3 install. Or: agent3 install --console-domain NAME`,
  );
  return false;
}
