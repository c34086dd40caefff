import { existsSync, readFileSync, statSync } from 'node:fs';
import { parseEnvFile } from '../../ops/env-file.ts';
import { installedSettings, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { likelyOwner } from '../lib/files.ts';
import { accountOf } from '../process/environment.ts';
import { processEnvironment } from '../settings/environment.ts';
import { cannotRead, EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** Returns the path given by option, by environment variable, or by the installed service; else undefined. */
export function placeHere(named: string | undefined, variable: string, installed: string): string | undefined {
  return (named ?? processEnvironment()[variable]) || (existsSync(PATHS.manifest) ? installed : undefined);
}

/** Returns the path of the file of tokens. Exits with 2 when none is known. */
export function tokensFile(named: string | undefined): string {
  const what = 'no file of tokens is set: give --file, or set AGENT3_TOKENS_FILE here and for the agent';
  return placeHere(named, 'AGENT3_TOKENS_FILE', PATHS.tokens) ?? fail(EXIT_USAGE, what);
}

/** Returns the path of the audit record. Exits with 2 when none is known. */
export function auditFile(named: string | undefined): string {
  const what = 'no audit record is set: give --file, or set AGENT3_AUDIT_FILE here and for the agent';
  return placeHere(named, 'AGENT3_AUDIT_FILE', PATHS.audit) ?? fail(EXIT_USAGE, what);
}

/** Returns the user of the agent that uses a file; undefined for the service, whose file only root may write. */
export function ownerOf(path: string): number | undefined {
  return path === PATHS.tokens ? undefined : likelyOwner(path);
}

/** Returns the group by which the service reads its file of tokens; undefined for the file of another agent. */
export function groupOf(path: string): number | undefined {
  const user = path === PATHS.tokens && process.geteuid?.() === 0 ? readManifest(PATHS.manifest)?.user : undefined;
  return user === undefined ? undefined : accountOf(user)?.groups[0];
}

/** Returns true when the environment is that of an agent started by hand. */
export function isByHand(): boolean {
  return Boolean(processEnvironment()['AGENT3_TOKENS_FILE']);
}

/** Returns the settings of the agent: from the environment, or of the installed service. */
export function settingsHere(): Readonly<Record<string, string | undefined>> {
  return isByHand() ? processEnvironment() : installedSettings();
}

/** Returns the sessions directory of that agent. */
export function sessionsHere(): string {
  const { AGENT3_SESSIONS_DIR: directory } = settingsHere();
  return directory || (isByHand() ? SESSIONS_BY_HAND : PATHS.sessions);
}

/** The sessions directory of an agent that was started by hand in this directory. */
const SESSIONS_BY_HAND = './sessions';

/** Returns the directories from the environment, of the installed service, or of an agent started in this directory. */
export function approvalDirectories(): { readonly sessions: string; readonly decisions: string } {
  const { AGENT3_SESSIONS_DIR: sessionsHere, AGENT3_APPROVALS_DIR: decisionsHere } = processEnvironment();
  if (existsSync(PATHS.manifest) && !(sessionsHere && decisionsHere)) {
    const installed = readInstalledSettings();
    return {
      sessions: sessionsHere || (installed['AGENT3_SESSIONS_DIR'] ?? PATHS.sessions),
      decisions: decisionsHere || (installed['AGENT3_APPROVALS_DIR'] ?? PATHS.approvals),
    };
  }
  const sessions = sessionsHere || SESSIONS_BY_HAND;
  // Nothing waits where no agent is: that would be no answer.
  if (isMissing(sessions))
    fail(
      EXIT_USAGE,
      `${sessions} does not exist: run this where the agent was started, or set AGENT3_SESSIONS_DIR as for the agent`,
    );
  if (!decisionsHere)
    fail(
      EXIT_USAGE,
      'AGENT3_APPROVALS_DIR is not set, so the agent denies what needs approval: set it, here and for the agent, to a directory that only root may write to',
    );
  return { sessions, decisions: decisionsHere };
}

/** Returns false for what cannot be seen without another user's rights. */
function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

/** Returns the directory of decisions, from the environment or of the installed service. */
export function decisionsHere(): string {
  const here = placeHere(undefined, 'AGENT3_APPROVALS_DIR', PATHS.approvals);
  if (here === undefined) fail(EXIT_USAGE, 'no agent is installed here: set AGENT3_APPROVALS_DIR as for the agent');
  return here === PATHS.approvals ? (readInstalledSettings()['AGENT3_APPROVALS_DIR'] ?? here) : here;
}

function readInstalledSettings(): Readonly<Record<string, string>> {
  try {
    return parseEnvFile(readFileSync(PATHS.settings, 'utf8'));
  } catch (error) {
    fail(EXIT_FAILURE, cannotRead(PATHS.settings, error));
  }
}
