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
 * Makes Caddy serve the agent, which listens at `origin`, and the console, if they have a name, and checks it. An existing
 * site that leads to the agent is not changed.
 */
export async function publish(situation: Situation, origin: string): Promise<void> {
  const { options, changes, notes, input } = situation;
  const { domain } = input;
  const before = changes.count;
  const hostAndPort = origin.replace(/^https?:\/\//, '');
  const isNew = domain !== null && (options.domain !== undefined || !siteLeadsTo(changes, hostAndPort));
  // Caddy uses plain HTTP for an upstream without a scheme.
  if (isNew) putSite(changes, domain, origin.replace('http://', ''));
  const sites: SitePath[] = isNew ? [PATHS.caddySite] : [];
  if (await isConsoleNew(situation)) sites.push(PATHS.consoleSite);
  importSites(changes, sites, before);
  // The site of the console was written with the other files.
  const isConsoleOld = hasConsoleSite(input) && isImported(changes, PATHS.consoleSite);
  if (isConsoleOld && changes.count === before && before > 0 && !changes.dryRun) reloadCaddy();
  if (!isNew) return;
  if (!unitIs('enabled', 'caddy.service'))
    notes.push('Caddy does not start at boot. To change that: systemctl enable caddy');
  if (changes.dryRun || (await waitFor(async () => (await siteAnswers(domain)) || undefined, SITE_SECONDS, LOOK_MS)))
    return;
  notes.push(
    `https://${domain}/ does not answer yet: the name must point to this machine, and ports 80 and 443 must be open. To check: agent3 doctor`,
  );
}

/** Returns true when Caddy must serve the console. Adds a note when another program uses the port. */
async function isConsoleNew({ changes, input, notes }: Situation): Promise<boolean> {
  if (!hasConsoleSite(input) || isImported(changes, PATHS.consoleSite)) return false;
  if (!input.console?.endsWith(`:${CONSOLE_PORT}`) || (await portFault('0.0.0.0', CONSOLE_PORT)) === undefined)
    return true;
  notes.push(
    `another program uses port ${CONSOLE_PORT}, so the console is not served. Free the port, then run: agent3 install. Or: agent3 install --console-domain NAME`,
  );
  return false;
}
