import { addSite, siteLeadsTo, waitForSite } from './caddy.ts';
import { runCommand } from './command.ts';
import type { Situation } from './survey.ts';

/** How long Caddy may take to serve a new site. */
const SITE_SECONDS = 15;

/** Has Caddy serve the domain, and looks whether it does. A site that leads to the agent stays as its owner has it. */
export async function publish({ options, changes, notes }: Situation, domain: string, origin: string): Promise<void> {
  if (options.domain === undefined && siteLeadsTo(changes, origin.replace(/^https?:\/\//, ''))) return;
  // Caddy takes an upstream without a scheme for one of plain HTTP.
  addSite(changes, domain, origin.replace('http://', ''));
  if (runCommand(['systemctl', 'is-enabled', '--quiet', 'caddy.service']).code !== 0) {
    notes.push('Caddy does not start at boot: systemctl enable caddy');
  }
  if (changes.dryRun || (await waitForSite(domain, SITE_SECONDS))) return;
  notes.push(
    `nobody answers on https://${domain}/ yet: the name has to point to this machine, and ports 80 and 443 have to be open. Then look with: agent3 doctor`,
  );
}
