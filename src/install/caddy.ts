import { existsSync } from 'node:fs';
import caddySite from '../../ops/Caddyfile' with { type: 'text' };
import { askHealth } from '../../ops/watchdog/check.ts';
import { runCommand } from '../../ops/watchdog/command.ts';
import type { Changes } from './changes.ts';
import { PATHS } from './layout.ts';
import { InstallFault, readText, unitIs } from './machine.ts';
import { fill } from './plan.ts';

/** Proxies that are believed once Caddy stands in front. */
export const LOOPBACK_PROXIES = '127.0.0.1,::1';

const IMPORT_LINE = `import ${PATHS.caddySite}`;

/** A host name as Caddy takes it for a site. */
const DOMAIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/i;

/** Throws `InstallFault` when the domain is none, or Caddy is not there. */
export function requireCaddy(domain: string): void {
  if (!DOMAIN.test(domain)) {
    throw new InstallFault(`${JSON.stringify(domain)} is no host name; --domain takes one such as agent.example.org`);
  }
  if (runCommand(['caddy', 'version']).code === 0 && existsSync(PATHS.caddyfile)) return;
  throw new InstallFault(
    `Caddy is not installed, and --domain needs it. Two commands:\n  apt-get install caddy\n  agent3 install --domain ${domain}`,
  );
}

/** Puts the site into Caddy's configuration, checked by Caddy itself, and has Caddy take it. */
export function addSite(changes: Changes, domain: string, upstream: string): void {
  const before = changes.count;
  const access = { mode: 0o644 };
  changes.file(PATHS.caddySite, fill(caddySite, { DOMAIN: domain, UPSTREAM: upstream }), access);
  const caddyfile = readText(changes.at(PATHS.caddyfile)) ?? '';
  if (!hasImport(caddyfile)) {
    changes.file(PATHS.caddyfile, `${caddyfile.trimEnd()}\n\n${IMPORT_LINE}\n`, access);
  }
  if (changes.count === before) return;
  changes.command(['caddy', 'validate', '--adapter', 'caddyfile', '--config', PATHS.caddyfile]);
  changes.command(['systemctl', 'reload-or-restart', 'caddy.service'], reloadCaddy);
}

/** Whether the site that is there hands its requests to `upstream`. */
export function siteLeadsTo(changes: Changes, upstream: string): boolean {
  const site = readText(changes.at(PATHS.caddySite));
  return site?.split(/[\s/]+/).includes(upstream) === true;
}

/** Whether the agent answers under `domain`, through what listens on port 443 of this machine, whatever its certificate. */
export async function siteAnswers(domain: string): Promise<boolean> {
  const init = { headers: { host: domain }, tls: { serverName: domain } };
  return 'version' in (await askHealth('https://127.0.0.1', init));
}

/** Takes the site out of Caddy's configuration again. */
export function removeSite(changes: Changes): void {
  const caddyfile = readText(changes.at(PATHS.caddyfile));
  const site = readText(changes.at(PATHS.caddySite));
  if (caddyfile !== undefined && hasImport(caddyfile)) {
    const without = caddyfile.replace(new RegExp(`\\n*^${IMPORT_LINE.replaceAll('.', '\\.')}$\\n?`, 'm'), '\n');
    changes.file(PATHS.caddyfile, without, { mode: 0o644 });
  }
  if (site === undefined) return;
  changes.remove(PATHS.caddySite);
  if (!changes.dryRun) reloadCaddy();
}

function hasImport(caddyfile: string): boolean {
  return caddyfile.split('\n').some((line) => line.trim() === IMPORT_LINE);
}

function reloadCaddy(): void {
  if (unitIs('active', 'caddy.service')) {
    // One that cannot be reloaded, or is not installed any more, is no reason to stop half way.
    runCommand(['systemctl', 'reload', 'caddy.service']);
  }
}
