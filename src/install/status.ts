import { below } from './below.ts';
import { runCommand } from './command.ts';
import { installedBinary } from './install.ts';
import { PATHS } from './layout.ts';
import { readText } from './machine.ts';
import { readManifest } from './manifest.ts';
import { healthUrl, serviceState, versionOn } from './service.ts';
import { parseSettings } from './settings-file.ts';
import { addressOf } from './survey.ts';

/** What is installed, in a few lines. */
export async function statusText(root: string): Promise<{ readonly text: string; readonly isWell: boolean }> {
  const manifest = readManifest(below(root, PATHS.manifest));
  if (manifest === undefined) return { text: 'Agent3 is not installed. To install it: agent3 install', isWell: false };
  if (root === '/' && process.geteuid?.() !== 0)
    return { text: 'run it as root: sudo agent3 install --status', isWell: false };
  const binary = installedBinary(manifest);
  const { stdout } = runCommand([below(root, binary), '--version'], 10);
  const { host, port, tls } = addressOf(parseSettings(settingsText(root)));
  if (root !== '/')
    return {
      text: `binary     ${binary}: ${stdout.trim() || 'cannot be run here'}\nuser       ${manifest.user}\nstaged, for ${healthUrl(host, port, tls)}`,
      isWell: true,
    };
  const { active, enabled, commands } = serviceState();
  const answering = await versionOn(healthUrl(host, port, tls));
  const lines = [
    `binary     ${binary}: ${stdout.trim() || 'cannot be run'}`,
    `service    ${active ? 'active' : 'not active'}, ${enabled ? 'starts at boot' : 'does not start at boot'}, ${commands} commands running`,
    `answers    ${answering === undefined ? 'no' : `version ${answering}`} on ${healthUrl(host, port, tls)}`,
    `user       ${manifest.user}`,
    `watchdog   ${manifest.watchdog}`,
    ...(manifest.domain === null ? [] : [`domain     ${manifest.domain}`]),
  ];
  return { text: lines.join('\n'), isWell: answering !== undefined };
}

function settingsText(root: string): string {
  return readText(below(root, PATHS.settings)) ?? '';
}
