import { existsSync, readFileSync } from 'node:fs';
import { parseEnvFile } from '../../ops/env-file.ts';
import { installedSettings, readManifest } from '../install/installed.ts';
import { PATHS } from '../install/layout.ts';
import { describeErrno } from '../lib/errors.ts';
import { likelyOwner } from '../lib/files.ts';
import { accountOf } from '../process/environment.ts';
import { processEnvironment } from '../settings/environment.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

/** A path: the one that was named, that of the environment, or that of the installed service; undefined without all. */
export function placeHere(named: string | undefined, variable: string, installed: string): string | undefined {
  return (named ?? processEnvironment()[variable]) || (existsSync(PATHS.manifest) ? installed : undefined);
}

/** The file of the tokens. */
export function tokensFile(named: string | undefined): string {
  const what = 'no file of tokens: name it with --file, or set AGENT3_TOKENS_FILE for the agent and here';
  return placeHere(named, 'AGENT3_TOKENS_FILE', PATHS.tokens) ?? fail(EXIT_USAGE, what);
}

/** The audit record. */
export function auditFile(named: string | undefined): string {
  const what = 'no audit record: name it with --file, or set AGENT3_AUDIT_FILE for the agent and here';
  return placeHere(named, 'AGENT3_AUDIT_FILE', PATHS.audit) ?? fail(EXIT_USAGE, what);
}

/** The user of the agent that goes by a file; in a service, nobody but root writes it. */
export function ownerOf(path: string): number | undefined {
  return path === PATHS.tokens ? undefined : likelyOwner(path);
}

/** The group by which the service reads its file of tokens; undefined: the file of another agent. */
export function groupOf(path: string): number | undefined {
  const user = path === PATHS.tokens && process.geteuid?.() === 0 ? readManifest(PATHS.manifest)?.user : undefined;
  return user === undefined ? undefined : accountOf(user)?.groups[0];
}

/** Whether the environment names an agent that was started by hand. */
export function isByHand(): boolean {
  return Boolean(processEnvironment()['AGENT3_TOKENS_FILE']);
}

/** The settings of the agent whose tokens these are: those of the environment, or those of the installed service. */
export function settingsHere(): Readonly<Record<string, string | undefined>> {
  return isByHand() ? processEnvironment() : installedSettings();
}

/** The directory of the sessions of that agent. */
export function sessionsHere(): string {
  const { AGENT3_SESSIONS_DIR: directory } = settingsHere();
  return directory || (isByHand() ? SESSIONS_BY_HAND : PATHS.sessions);
}

/** Where an agent keeps its sessions that was started by hand, in this directory. */
const SESSIONS_BY_HAND = './sessions';

/** The directories of sessions and of decisions: those of the environment, of the installed service, or of an agent started here. */
export function approvalDirectories(): { readonly sessions: string; readonly decisions: string } {
  const { AGENT3_SESSIONS_DIR: sessionsHere, AGENT3_APPROVALS_DIR: decisionsHere } = processEnvironment();
  if (sessionsHere && decisionsHere) return { sessions: sessionsHere, decisions: decisionsHere };
  if (existsSync(PATHS.manifest)) {
    const installed = readInstalledSettings();
    return {
      sessions: sessionsHere || (installed['AGENT3_SESSIONS_DIR'] ?? PATHS.sessions),
      decisions: decisionsHere || (installed['AGENT3_APPROVALS_DIR'] ?? PATHS.approvals),
    };
  }
  const sessions = sessionsHere || SESSIONS_BY_HAND;
  if (!existsSync(sessions))
    fail(
      EXIT_USAGE,
      `no agent is installed here, and there is no directory ${sessions}: run this in the directory in which the agent was started, or set AGENT3_SESSIONS_DIR as for the agent`,
    );
  if (!decisionsHere)
    fail(
      EXIT_USAGE,
      'AGENT3_APPROVALS_DIR is not set: set it, here and for the agent, to a directory of root that nobody else may write to. Without it, the agent denies what needs approval',
    );
  return { sessions, decisions: decisionsHere };
}

/** The directory of decisions: that of the environment, or that of the installed service. */
export function decisionsHere(): string {
  const here = placeHere(undefined, 'AGENT3_APPROVALS_DIR', PATHS.approvals);
  if (here === undefined) fail(EXIT_USAGE, 'no agent is installed here: set AGENT3_APPROVALS_DIR as for the agent');
  return here === PATHS.approvals ? (readInstalledSettings()['AGENT3_APPROVALS_DIR'] ?? here) : here;
}

function readInstalledSettings(): Readonly<Record<string, string>> {
  try {
    return parseEnvFile(readFileSync(PATHS.settings, 'utf8'));
  } catch (error) {
    fail(EXIT_FAILURE, `${PATHS.settings} cannot be read: ${describeErrno(error)}. Try it with sudo.`);
  }
}
