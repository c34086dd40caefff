import { basename } from 'node:path';
import logrotateTemplate from '../../ops/agent3.logrotate' with { type: 'text' };
import unit from '../../ops/agent3.service' with { type: 'text' };
import slice from '../../ops/agent3.slice' with { type: 'text' };
import commandsUnit from '../../ops/agent3-commands.service' with { type: 'text' };
import commandsLimits from '../../ops/agent3-commands-limits.conf' with { type: 'text' };
import commandsUser from '../../ops/agent3-commands-user.conf' with { type: 'text' };
import consoleUnit from '../../ops/agent3-console.service' with { type: 'text' };
import consoleSocketUnit from '../../ops/agent3-console.socket' with { type: 'text' };
import consoleAgentDropIn from '../../ops/agent3-console-agent.conf' with { type: 'text' };
import obeyPathUnit from '../../ops/agent3-console-obey.path' with { type: 'text' };
import obeyUnit from '../../ops/agent3-console-obey.service' with { type: 'text' };
import consoleProxyUnit from '../../ops/agent3-console-proxy.service' with { type: 'text' };
import consoleSocketDropIn from '../../ops/agent3-console-socket.conf' with { type: 'text' };
import hubObeyPathUnit from '../../ops/agent3-hub-obey.path' with { type: 'text' };
import hubObeyUnit from '../../ops/agent3-hub-obey.service' with { type: 'text' };
import busPolicy from '../../ops/agent3-look.conf' with { type: 'text' };
import natsUnit from '../../ops/agent3-nats.service' with { type: 'text' };
import rootDropIn from '../../ops/agent3-root.conf' with { type: 'text' };
import sliceLimits from '../../ops/agent3-slice-limits.conf' with { type: 'text' };
import userDropInTemplate from '../../ops/agent3-user.conf' with { type: 'text' };
import watchdogService from '../../ops/agent3-watchdog.service' with { type: 'text' };
import watchdogTimer from '../../ops/agent3-watchdog.timer' with { type: 'text' };
import consoleSite from '../../ops/console.Caddyfile' with { type: 'text' };
import { API_HEADERS, PAGE_HEADERS } from '../console/headers.ts';
import { LOOK_USER } from '../lib/look-user.ts';
import type { Access, Changes } from './changes.ts';
import { type Manifest, sha256 } from './installed.ts';
import { additions, hasConsole, type Owner, type Shape } from './inventory.ts';
import {
  BINARY,
  CONSOLE_USER,
  DEFAULT_USER,
  FORMER_PATHS,
  LOOK_COMMENT,
  LOOK_HOME,
  NOLOGIN,
  PACKAGED_BINARY,
  PACKAGED_PAGE,
  PATHS,
} from './layout.ts';
import { InstallFault, type MachineLimits, readText } from './machine.ts';

/** Replaces each `@NAME@` of `template`. Throws when one has no value. */
export function fill(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replace(/@([A-Z_]+)@/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${whole} has no value`);
    return String(value);
  });
}

/** The inputs for the files of an installation. */
export interface PlanInput extends Shape, Owner {
  readonly port: number;
  /** Log groups for the agent's own user. */
  readonly lookLogs: boolean;
  readonly logGroups: readonly string[];
  /** Group that may use the socket of the console: that of Caddy, if it has one. */
  readonly socketGroup: string;
  readonly limits: MachineLimits;
  /** Logs of the original agent, outside of Agent3's own. */
  readonly oldLogs: readonly string[];
  /** Whether this agent is a server of a fleet. */
  readonly isMember?: boolean;
}

/** A file that the installation keeps up to date (not the settings). */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
}

interface PlannedDirectory {
  readonly path: string;
  readonly access: Access;
}

const PUBLIC: Access = { mode: 0o644 };

/** Returns the directories that an installation makes. */
export function plannedDirectories(input: PlanInput): PlannedDirectory[] {
  return additions(input, 'directory').flatMap(({ name, access }) =>
    access === undefined ? [] : [{ path: name, access: access(input) }],
  );
}

/** Returns the files of an installation, except for executable, settings and manifest. A package brings some itself. */
export function plannedFiles(input: PlanInput): PlannedFile[] {
  return additions(input, 'file')
    .filter(({ shipped }) => !(input.packaged && shipped === true))
    .map(({ name }) => ({ path: name, content: contentOf(name, input) }));
}

const CONTENTS: Readonly<Record<string, (input: PlanInput) => string>> = {
  [PATHS.unit]: () => unit,
  [PATHS.userDropIn]: userDropIn,
  [PATHS.commandsUnit]: () => commandsUnit,
  // The cgroup belongs to the user of the agent, who makes a cgroup for each command below it.
  [PATHS.commandsUserDropIn]: ({ user, group }) => fill(commandsUser, { USER: user, GROUP: group }),
  [PATHS.commandsLimitsDropIn]: ({ limits: { commandsMemoryMib, commandsTasks } }) =>
    fill(commandsLimits, { MEMORY_MIB: commandsMemoryMib, TASKS: commandsTasks }),
  [PATHS.slice]: () => slice,
  [PATHS.sliceLimitsDropIn]: ({ limits: { memoryMaxMib, tasksMax } }) =>
    fill(sliceLimits, { MEMORY_MIB: memoryMaxMib, TASKS: tasksMax }),
  [PATHS.consoleAgentDropIn]: ({ user }) => fill(consoleAgentDropIn, { USER: user }),
  [PATHS.consoleSocketUnit]: () => consoleSocketUnit,
  [PATHS.consoleSocketDropIn]: ({ socketGroup }) => fill(consoleSocketDropIn, { GROUP: socketGroup }),
  [PATHS.consoleSite]: ({ console, packaged }) =>
    fill(consoleSite, {
      SITE: console ?? '',
      HEADERS: Object.entries(PAGE_HEADERS)
        .map(([name, value]) => `\t\t\t${name} "${value}"`)
        .join('\n'),
      API_HEADERS: Object.entries(API_HEADERS)
        .map(([name, value]) => `\t\t\theader_down ${name} "${value}"`)
        .join('\n'),
      PAGE: packaged ? PACKAGED_PAGE : PATHS.page,
    }),
  [PATHS.consoleProxyUnit]: () => consoleProxyUnit,
  [PATHS.consoleUnit]: () => consoleUnit,
  [PATHS.obeyPathUnit]: () => obeyPathUnit,
  [PATHS.obeyUnit]: () => obeyUnit,
  [PATHS.hubObeyPathUnit]: () => hubObeyPathUnit,
  [PATHS.hubObeyUnit]: () => hubObeyUnit,
  [PATHS.natsUnit]: () => natsUnit,
  [PATHS.watchdogService]: () => watchdogService,
  [PATHS.watchdogTimer]: () => watchdogTimer,
  [PATHS.watchdogCron]: ({ packaged }) => `# Agent3's watchdog, where systemd has no timers.
*/5 * * * * root ${packaged ? PACKAGED_BINARY : BINARY} watchdog --once
`,
  [PATHS.busPolicy]: () => busPolicy,
  [PATHS.logrotate]: logrotate,
  [PATHS.sysusers]: sysusers,
  [PATHS.tmpfiles]: tmpfiles,
};

function contentOf(path: string, input: PlanInput): string {
  const content = CONTENTS[path];
  if (content === undefined) throw new Error(`${path} has no content`);
  return content(input);
}

function logrotate({ oldLogs }: PlanInput): string {
  const own = `${PATHS.logs}/watchdog.log`;
  const logs = [own, ...oldLogs.filter((path) => path !== own)];
  return fill(logrotateTemplate, { CAPTURED_LOGS: logs.join(' ') });
}

/** Ports below this need a capability (ip(7)). */
const FIRST_FREE_PORT = 1024;

function userDropIn({ user, group, port }: PlanInput): string {
  if (user === 'root') return rootDropIn;
  const capabilities = port < FIRST_FREE_PORT ? 'CAP_NET_BIND_SERVICE' : '';
  return fill(userDropInTemplate, { USER: user, GROUP: group, CAPABILITIES: capabilities });
}

/** For an image: the directories are made when it first boots (tmpfiles.d(5)). */
function tmpfiles(input: PlanInput): string {
  const own = plannedDirectories(input).filter(({ access }) => access.group !== undefined);
  const lines = own.map(
    ({ path, access: { mode, owner, group } }) => `d ${path} 0${mode.toString(8)} ${owner} ${group}\n`,
  );
  return `${lines.join('')}f ${PATHS.logFile} 0640 ${input.user} ${input.group}\n`;
}

/** For an image: the users are made when it first boots (sysusers.d(5)). */
function sysusers(input: PlanInput): string {
  const { user, logGroups, lookLogs } = input;
  const users: Readonly<Record<string, string>> = {
    [DEFAULT_USER]: `u ${DEFAULT_USER} - "Agent3" ${PATHS.home} ${NOLOGIN}`,
    root: `u ${LOOK_USER} - "${LOOK_COMMENT}" ${LOOK_HOME} ${NOLOGIN}`,
  };
  const reader = user === 'root' ? LOOK_USER : lookLogs ? user : undefined;
  const ofConsole = `u ${CONSOLE_USER} - "Agent3 console" ${PATHS.console} ${NOLOGIN}`;
  const lines = [
    users[user],
    ...(hasConsole(input) ? [ofConsole] : []),
    ...(reader === undefined ? [] : logGroups.map((group) => `m ${reader} ${group}`)),
  ];
  return `# The users of Agent3.\n${lines.map((line) => (line === undefined ? '' : `${line}\n`)).join('')}`;
}

/** The result of writing the planned files. */
export interface Written {
  /** Path → SHA-256 of what the installer wrote, for the manifest. */
  readonly sums: Record<string, string>;
  /** Files that the owner has changed, which were not replaced. */
  readonly kept: readonly string[];
}

/** Throws `InstallFault` for existing files that the installer did not write. */
export function refuseForeign(
  files: readonly { readonly path: string; readonly content: string }[],
  manifest: Manifest | undefined,
  changes: Changes,
  mayReplace: ReadonlySet<string>,
): void {
  const foreign = files.filter(({ path, content }) => {
    const there = readText(changes.at(path));
    return there !== undefined && there !== content && manifest?.files[path] === undefined && !mayReplace.has(path);
  });
  if (foreign.length === 0) return;
  throw new InstallFault(
    `these files exist and were not written by Agent3: ${foreign.map(({ path }) => path).join(', ')}. Move them away, then run the installer again. Nothing was changed`,
  );
}

/**
 * Writes the planned files. A file that the owner has changed stays, under its present name, and its new version is saved
 * separately.
 */
export function writeFiles(files: readonly PlannedFile[], manifest: Manifest | undefined, changes: Changes): Written {
  const sums: Record<string, string> = {};
  const kept: string[] = [];
  for (const { path, content } of files) {
    const sum = sha256(content);
    const former = FORMER_PATHS[path] ?? path;
    const place = manifest?.files[former] === undefined ? path : former;
    const written = manifest?.files[place];
    const there = readText(changes.at(place));
    const edited = written !== undefined && there !== undefined && sha256(there) !== written && there !== content;
    if (!edited) {
      changes.file(path, content, PUBLIC);
      sums[path] = sum;
      continue;
    }
    // The manifest keeps the last written version, so that the owner's change is detected next time too.
    sums[path] = written;
    kept.push(path);
    if (place !== path) changes.file(path, there, PUBLIC);
    if (written !== sum) changes.file(`${PATHS.newFiles}/${basename(path)}`, content, PUBLIC);
  }
  return { sums, kept };
}
