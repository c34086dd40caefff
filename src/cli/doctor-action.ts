import { visibleJson } from '../core/visible.ts';
import { approvalsFinding, auditFinding, profilesFinding } from '../doctor/control.ts';
import { bad, type Finding, findingsText } from '../doctor/finding.ts';
import { inventoryFinding, originalFindings } from '../doctor/inventory.ts';
import {
  commandFinding,
  exposureFinding,
  healthFinding,
  settingsFinding,
  unitFinding,
  watchdogFinding,
} from '../doctor/service.ts';
import {
  cgroupFinding,
  clockFinding,
  diskFinding,
  httpsFinding,
  logrotateFinding,
  sessionsFinding,
} from '../doctor/surroundings.ts';
import { PATHS } from '../install/layout.ts';
import { hasSystemd, readText } from '../install/machine.ts';
import { type Manifest, readManifest } from '../install/manifest.ts';
import { parseSettings } from '../install/settings-file.ts';
import { version } from '../version.ts';
import { EXIT_FAILURE, fail } from './exit.ts';

/** Examines the installation, prints what was found, and ends the process. */
export async function runDoctor(asJson: boolean): Promise<void> {
  const found = await examine();
  const ok = found.every((finding) => finding.ok);
  const json = visibleJson({ ok, version, findings: found });
  process.stdout.write(`${asJson ? json : findingsText(found)}\n`);
  process.exit(ok ? 0 : EXIT_FAILURE);
}

async function examine(): Promise<Finding[]> {
  if (process.geteuid?.() !== 0) fail(EXIT_FAILURE, 'run it as root: sudo agent3 doctor');
  const manifest = readManifest(PATHS.manifest);
  if (manifest === undefined || !hasSystemd()) {
    return [bad('installation', 'not installed as a service of this machine', 'agent3 install')];
  }
  return findings(manifest, parseSettings(readText(PATHS.settings) ?? ''));
}

async function findings(manifest: Manifest, values: Readonly<Record<string, string>>): Promise<Finding[]> {
  return [
    unitFinding(),
    inventoryFinding(manifest),
    ...originalFindings(),
    await healthFinding(manifest, values),
    await commandFinding(values),
    exposureFinding(values),
    ...(manifest.domain === null ? [] : [await httpsFinding(manifest.domain)]),
    settingsFinding(),
    sessionsFinding(manifest),
    diskFinding(),
    cgroupFinding(manifest),
    profilesFinding(values['AGENT3_PROFILE'] || 'full', manifest.user),
    approvalsFinding(manifest.user),
    auditFinding(),
    logrotateFinding(),
    watchdogFinding(manifest),
    clockFinding(),
  ];
}
