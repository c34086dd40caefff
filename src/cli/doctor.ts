import type { Command } from '@commander-js/extra-typings';
import { parseEnvFile } from '../../ops/env-file.ts';
import { approvalsFinding, auditFinding, profilesFinding } from '../install/doctor/control.ts';
import { bad, type Check, type Finding, findingsText, lookAt } from '../install/doctor/finding.ts';
import {
  commandFinding,
  exposureFinding,
  healthFinding,
  settingsFinding,
  startFinding,
  unitFinding,
  watchdogFinding,
} from '../install/doctor/service.ts';
import {
  cgroupFinding,
  clockFinding,
  diskFinding,
  httpsFinding,
  inventoryFinding,
  logrotateFinding,
  logsFinding,
  originalFindings,
  sessionsFinding,
} from '../install/doctor/surroundings.ts';
import { type Manifest, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { hasSystemd, readText } from '../install/machine.ts';
import { visibleJson } from '../lib/visible.ts';
import { ConfigError, loadConfig } from '../settings/config.ts';
import { version } from '../version.ts';
import { EXIT_FAILURE, fail } from './exit.ts';

/** `agent3 doctor`. */
export function defineDoctor(command: Command): void {
  command
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nRun it as root: only root can read the settings. Exit code: 0 all is well, 1 something is wrong.',
    )
    .action(({ json }) => runDoctor(json === true));
}

/** Examines the installation, prints what was found, and ends the process. */
async function runDoctor(asJson: boolean): Promise<void> {
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
  return lookAt(checksOf(manifest, readText(PATHS.settings) ?? ''));
}

/** Causes before what follows from them. */
function checksOf(manifest: Manifest, text: string): Check[] {
  const values = parseEnvFile(text);
  const { domain, user } = manifest;
  return [
    { name: 'disk', look: diskFinding },
    { name: 'settings', look: () => settingsFinding(text, valueFaults(values)) },
    { name: 'files', look: () => inventoryFinding(manifest) },
    { name: 'logs', look: logsFinding },
    { name: 'start', look: () => startFinding(manifest) },
    { name: 'service', look: unitFinding },
    ...originalFindings().map((finding) => ({ name: finding.check, look: () => finding })),
    { name: 'health', look: () => healthFinding(manifest, values) },
    { name: 'command', look: () => commandFinding(values) },
    { name: 'address', look: () => exposureFinding(values) },
    ...(domain === null ? [] : [{ name: 'https', look: () => httpsFinding(domain) }]),
    { name: 'sessions', look: () => sessionsFinding(manifest) },
    { name: 'cgroup', look: () => cgroupFinding(manifest, values) },
    { name: 'profiles', look: () => profilesFinding(values['AGENT3_PROFILE'] || 'full', user) },
    { name: 'approvals', look: () => approvalsFinding(user) },
    { name: 'audit', look: auditFinding },
    { name: 'logrotate', look: logrotateFinding },
    { name: 'watchdog', look: () => watchdogFinding(manifest) },
    { name: 'clock', look: clockFinding },
  ];
}

/** The faults for which the agent would not start with these settings. */
function valueFaults(values: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig(values);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}
