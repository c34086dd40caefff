import { addressOf } from '../../ops/watchdog/target.ts';
import { below } from './below.ts';
import { runCommand } from './command.ts';
import { InstallFault } from './fault.ts';
import { installedBinary } from './install.ts';
import { PATHS } from './layout.ts';
import { readText } from './machine.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { serviceState, versionOn } from './service.ts';
import { parseSettings } from './settings-file.ts';

/** What is installed on a machine. */
export interface Installed {
  readonly binary: string;
  /** What the executable prints of its version; null where it cannot be run. */
  readonly version: string | null;
  readonly user: string;
  readonly url: string;
  readonly watchdog: Manifest['watchdog'];
  readonly domain: string | null;
  /** Null for what is staged into a directory. */
  readonly service: {
    readonly active: boolean;
    readonly starts_at_boot: boolean;
    readonly commands: number;
    /** The version that answers on the URL; null where none does. */
    readonly answers: string | null;
  } | null;
}

/** Looks at what is installed below `root`; undefined where nothing is. Throws `InstallFault` where only root can look. */
export async function lookAtInstalled(root: string): Promise<Installed | undefined> {
  const manifest = readManifest(below(root, PATHS.manifest));
  if (manifest === undefined) return undefined;
  if (root === '/' && process.geteuid?.() !== 0) throw new InstallFault('run it as root: sudo agent3 status');
  const binary = installedBinary(manifest);
  const { stdout } = runCommand([below(root, binary), '--version'], 10);
  const { origin } = addressOf(parseSettings(readText(below(root, PATHS.settings)) ?? ''));
  const { user, watchdog, domain } = manifest;
  return {
    binary,
    version: stdout.trim() || null,
    user,
    url: `${origin}/healthz`,
    watchdog,
    domain,
    service: root === '/' ? await lookAtService(origin) : null,
  };
}

async function lookAtService(origin: string): Promise<Installed['service']> {
  const { isActive, isEnabled, commands } = serviceState();
  return { active: isActive, starts_at_boot: isEnabled, commands, answers: (await versionOn(origin)) ?? null };
}

/** The same in a few lines. */
export function describeInstalled({ binary, version, user, url, watchdog, domain, service }: Installed): string {
  const about = `binary     ${binary}: ${version ?? 'cannot be run here'}`;
  if (service === null) return `${about}\nuser       ${user}\nstaged, for ${url}`;
  const { active, starts_at_boot, commands, answers } = service;
  return [
    about,
    `service    ${active ? 'active' : 'not active'}, ${starts_at_boot ? 'starts at boot' : 'does not start at boot'}, ${commands} commands running`,
    `answers    ${answers === null ? 'no' : `version ${answers}`} on ${url}`,
    `user       ${user}`,
    `watchdog   ${watchdog}`,
    ...(domain === null ? [] : [`domain     ${domain}`]),
  ].join('\n');
}
