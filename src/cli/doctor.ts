import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from '@commander-js/extra-typings';
import { parseEnvFile } from '../../ops/env-file.ts';
import { isGrant } from '../access/grant.ts';
import { readTokens } from '../access/token-file.ts';
import { DOCTOR_NOTE, type DoctorNote, keepDoctorNote } from '../console/doctor-note.ts';
import { consoleFinding } from '../install/doctor/console.ts';
import { approvalsFinding, auditFinding, lookFinding, profilesFinding } from '../install/doctor/control.ts';
import { bad, type Check, type Finding, type Found, findingsText, lookAt } from '../install/doctor/finding.ts';
import { fleetFinding, isOfFleet } from '../install/doctor/fleet.ts';
import {
  commandFinding,
  exposureFinding,
  healthFinding,
  settingsFinding,
  startFinding,
  unitFinding,
  watchdogFinding,
} from '../install/doctor/service.ts';
import { signInFinding } from '../install/doctor/sign-in.ts';
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
import { transferFinding } from '../install/doctor/transfer.ts';
import { type Manifest, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { readText } from '../install/machine.ts';
import { describeErrno } from '../lib/errors.ts';
import { visibleJson } from '../lib/visible.ts';
import { hasSystemd } from '../linux/systemd.ts';
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

async function runDoctor(asJson: boolean): Promise<void> {
  const found = await examine();
  const ok = found.every((finding) => finding.ok);
  keepNote({ at: Date.now(), version, ok, findings: found });
  const json = visibleJson({ ok, version, findings: found });
  process.stdout.write(`${asJson ? json : findingsText(found)}\n`);
  process.exit(ok ? 0 : EXIT_FAILURE);
}

/** Writes the findings for the owner's console. A full or read-only disk is a finding of its own. */
function keepNote(note: DoctorNote): void {
  try {
    if (existsSync(dirname(DOCTOR_NOTE))) keepDoctorNote(note);
  } catch (error) {
    process.stderr.write(`agent3: ${DOCTOR_NOTE} cannot be written: ${describeErrno(error)}\n`);
  }
}

async function examine(): Promise<Finding[]> {
  if (process.geteuid?.() !== 0) fail(EXIT_FAILURE, 'run it as root: sudo agent3 doctor');
  const manifest = readManifest(PATHS.manifest);
  if (manifest === undefined || !hasSystemd()) return lookAt([['installation', notInstalled]]);
  return lookAt(checksOf(manifest, settingsText()));
}

/** Without what the installer wrote about its options, an upgrade would take the usual ones. */
function notInstalled(): Found {
  if (!existsSync(PATHS.unit)) return bad('not installed as a service of this machine', 'agent3 install');
  const what = `${PATHS.manifest} is missing or damaged, so the options of the installation are unknown`;
  return bad(what, 'agent3 install, with the options of before (such as --user and --domain)');
}

/** The check of the settings reports a file that cannot be read. */
function settingsText(): string {
  try {
    return readText(PATHS.settings) ?? '';
  } catch {
    return '';
  }
}

/** Runs the checks; causes come before what follows from them. */
function checksOf(manifest: Manifest, text: string): Check[] {
  const values = parseEnvFile(text);
  const { domain, user } = manifest;
  return [
    ['disk', diskFinding],
    ['settings', () => settingsFinding(text, valueFaults(values))],
    ['files', () => inventoryFinding(manifest)],
    ['logs', logsFinding],
    ['start', () => startFinding(manifest)],
    ['service', unitFinding],
    ...originalFindings().map((found): Check => ['cron', () => found]),
    ['health', () => healthFinding(manifest, values)],
    ['command', () => commandFinding(values)],
    ['address', () => exposureFinding(values)],
    ...(domain === null ? [] : [['https', () => httpsFinding(domain)] as const]),
    ['sign-in', () => signInFinding({ values, domain, hasGrants: hasGrants() })],
    ['transfer', () => transferFinding(values, domain)],
    ['sessions', () => sessionsFinding(manifest)],
    ['cgroup', () => cgroupFinding(manifest, values)],
    ['profiles', () => profilesFinding(values['AGENT3_PROFILE'] || 'full', user)],
    ['look', () => lookFinding(user)],
    ['approvals', () => approvalsFinding(user)],
    ['console', () => consoleFinding(manifest)],
    ...(isOfFleet(values) ? [['fleet', () => fleetFinding(values)] as const] : []),
    ['audit', auditFinding],
    ['logrotate', logrotateFinding],
    ['watchdog', () => watchdogFinding(manifest)],
    ['clock', clockFinding],
  ];
}

/** Another check reports a file of tokens that cannot be read. */
function hasGrants(): boolean {
  try {
    return readTokens(PATHS.tokens).some(isGrant);
  } catch {
    return false;
  }
}

function valueFaults(values: Readonly<Record<string, string>>): readonly string[] {
  try {
    loadConfig(values);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}
