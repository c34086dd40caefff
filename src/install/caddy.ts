import { existsSync } from 'node:fs';
import caddySite from '../../ops/Caddyfile' with { type: 'text' };
import { askHealth } from '../../ops/watchdog/check.ts';
import { runCommand } from '../../ops/watchdog/command.ts';
import type { Changes } from './changes.ts';
import { PATHS } from './layout.ts';
import { InstallFault, readText, unitIs } from './machine.ts';
import { fill } from './plan.ts';

/** A site that the installer writes. */
export type SitePath = typeof PATHS.caddySite | typeof PATHS.consoleSite;

/** Proxies that are trusted when Caddy is in front. */
export const LOOPBACK_PROXIES = '127.0.0.1,::1';

const importLine = (site: SitePath): string => `import ${site}`;

const ACCESS = { mode: 0o644 } as const;

/** A host name that Caddy accepts for a site. */
const DOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/i;

/** Throws `InstallFault` when the domain is not valid, or Caddy is not installed. */
export function requireCaddy(domain: string, option: '--domain' | '--console-domain'): void {
  if (!DOMAIN.test(domain)) {
    throw new InstallFault(
      `${JSON.stringify(domain)} is not a host name. Give ${option} one, such as agent.example.org`,
    );
  }
  if (runCommand(['caddy', 'version']).code === 0 && existsSync(PATHS.caddyfile)) return;
  throw new InstallFault(
    `${option} needs Caddy, which is not installed. Run:\n  apt-get install caddy\n  agent3 install ${option} ${domain}`,
  );
}

/** Writes the site of the agent. */
export function putSite(changes: Changes, domain: string, upstream: string): void {
  changes.file(PATHS.caddySite, fill(caddySite, { DOMAIN: domain, UPSTREAM: upstream }), ACCESS);
}

/** Reloads Caddy once when sites have changed since `before`, after Caddy has checked them. */
export function importSites(changes: Changes, sites: readonly SitePath[], before: number): void {
  const missing = sites.filter((site) => !isImported(changes, site));
  if (missing.length > 0) {
    const caddyfile = readText(changes.at(PATHS.caddyfile)) ?? '';
    const imports = missing.map((site) => `\n\n${importLine(site)}`).join('');
    changes.file(PATHS.caddyfile, `${caddyfile.trimEnd()}${imports}\n`, ACCESS);
  }
  if (changes.count === before) return;
  changes.command(['caddy', 'validate', '--adapter', 'caddyfile', '--config', PATHS.caddyfile]);
  changes.command(['systemctl', 'reload-or-restart', 'caddy.service'], reloadCaddy);
}

/** Returns true when the existing site passes its requests to `upstream`. */
export function siteLeadsTo(changes: Changes, upstream: string): boolean {
  const site = readText(changes.at(PATHS.caddySite));
  return site?.split(/[\s/]+/).includes(upstream) === true;
}

/** Returns true when the agent answers at `domain` through port 443 of this machine, with any certificate. */
export async function siteAnswers(domain: string): Promise<boolean> {
  const init = { headers: { host: domain }, tls: { serverName: domain } };
  return 'version' in (await askHealth('https://127.0.0.1', init));
}

/** Removes a site from Caddy's configuration. */
export function removeSite(changes: Changes, site: SitePath): void {
  const caddyfile = readText(changes.at(PATHS.caddyfile));
  if (caddyfile !== undefined && isImported(changes, site)) {
    const without = caddyfile.replace(new RegExp(`\\n*^${importLine(site).replaceAll('.', '\\.')}$\\n?`, 'm'), '\n');
    changes.file(PATHS.caddyfile, without, ACCESS);
  }
  if (readText(changes.at(site)) === undefined) return;
  changes.remove(site);
  if (!changes.dryRun) reloadCaddy();
}

/** Returns true when Caddy reads a site. */
export function isImported(changes: Changes, site: SitePath): boolean {
  const caddyfile = readText(changes.at(PATHS.caddyfile)) ?? '';
  return caddyfile.split('\n').some((line) => line.trim() === importLine(site));
}

/** Reloads Caddy when it runs. */
export function reloadCaddy(): void {
  if (unitIs('active', 'caddy.service')) {
    // A Caddy that cannot be reloaded, or was removed, must not stop the work halfway.
    runCommand(['systemctl', 'reload', 'caddy.service']);
  }
}
