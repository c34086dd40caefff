import { existsSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { type EnvFileFault, envFileFaults, parseEnvFile } from '../../../ops/env-file.ts';
import { findFault } from '../../../ops/watchdog/check.ts';
import { runCommand } from '../../../ops/watchdog/command.ts';
import { unitProperties } from '../../../ops/watchdog/service.ts';
import { addressOf, readTarget } from '../../../ops/watchdog/target.ts';
import { currentFreeze, readFreezes, reasonOf } from '../../access/freeze.ts';
import { isKnownVariable } from '../../settings/config.ts';
import { installedBinary, type Manifest } from '../installed.ts';
import { PATHS, SERVICE, WATCHDOG_TIMER } from '../layout.ts';
import { readText, unitIs } from '../machine.ts';
import { countCommands, serviceState, versionOn, whyNot } from '../service.ts';
import { bad, type Found, good } from './finding.ts';
import { serviceLines, unreadable } from './profile-machine.ts';

const LOOK = 'see: journalctl -u agent3 -n 20';

/** What only an agent that answers can be asked, and what only a running unit has. */
const NEED_ANSWER = ['command', 'https', 'sign-in', 'transfer'] as const;
const NEED_SERVICE = ['health', 'cgroup', ...NEED_ANSWER] as const;

/** The unit: does it run, and does it start at boot. */
export function unitFinding(): Found {
  const { state, isActive, isEnabled, isSwitchedOff, isMasked, commands, isFrozen } = serviceState();
  if (isSwitchedOff) {
    const unmask = isMasked ? 'systemctl unmask agent3; ' : '';
    return bad('disabled by its owner', `to enable it: ${unmask}systemctl enable --now agent3`, NEED_SERVICE);
  }
  if (!isActive) {
    // It tries again and again, or has given up: a start alone would end in the same way.
    const cure = state === 'inactive' ? '' : 'correct that (agent3 install restores files, owners and modes), then: ';
    return bad(`not active. ${whyNot()}`, `${cure}systemctl start agent3; ${LOOK}`, NEED_SERVICE);
  }
  if (!isEnabled) return bad('active, but does not start at boot', 'systemctl enable agent3');
  return good(`active, starts at boot; ${countCommands(commands)} ${isFrozen ? 'frozen' : 'running'}`);
}

/** Does it answer, and is what runs what is installed. */
export async function healthFinding(manifest: Manifest, values: Readonly<Record<string, string>>): Promise<Found> {
  const { origin } = addressOf(values);
  const url = `${origin}/healthz`;
  const running = await versionOn(origin);
  if (running === undefined) return bad(`${url} does not answer`, LOOK, NEED_ANSWER);
  const { stdout } = runCommand([installedBinary(manifest), '--version'], 10);
  const installed = /^agent3 (\S+)/.exec(stdout)?.[1];
  // A restart would end the agent that answers.
  if (installed === undefined)
    return bad(`version ${running} answers, but ${installedBinary(manifest)} cannot be run`, 'agent3 install');
  if (installed !== running) {
    return bad(`version ${running} answers, but ${installed} is installed`, 'systemctl restart agent3');
  }
  return good(`${url} answers, version ${running}`);
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** Does a real command come back. A freeze is the wish of the owner, and no fault. */
export async function commandFinding(values: Readonly<Record<string, string>>): Promise<Found> {
  if (!values['AGENT3_API_TOKEN']) return bad('the settings have no token', 'agent3 install (it makes one)');
  const freeze = currentFreeze(readFreezes(values['AGENT3_APPROVALS_DIR'] ?? PATHS.approvals));
  if (freeze !== undefined)
    return good(`frozen by ${freeze.by} since ${isoTime(freeze.since)} (${reasonOf(freeze)}): no command was run`);
  const fault = await findFault(readTarget(SERVICE, values));
  return fault === undefined ? good('a test command succeeded') : bad(fault, LOOK);
}

/** The settings file: who can read it, what its lines do, and `faults`, which the agent finds in the values. */
export function settingsFinding(text: string, faults: readonly string[]): Found {
  const stat = statSync(PATHS.settings, { throwIfNoEntry: false });
  if (stat === undefined) return bad(`${PATHS.settings} is missing`, 'agent3 install', NEED_ANSWER);
  if (!stat.isFile()) return bad(`${PATHS.settings} is not a file`, `move it away, then: agent3 install`, NEED_ANSWER);
  const lines = envFileFaults(text);
  if (faults.length > 0) {
    // What a value has become by an open quote is told by that quote.
    const causes = lines.filter(({ kind }) => kind !== 'none').map(describeLineFault);
    const isActive = serviceState().isActive;
    const effect = isActive ? 'still runs with the old settings, but will not start again' : 'does not start';
    const what = `${PATHS.settings}: ${(causes.length > 0 ? causes : faults).join('; ')}. The agent ${effect}`;
    const leftOut = isActive ? ['health', ...NEED_ANSWER] : ['service', ...NEED_SERVICE];
    return bad(what, RESTART, ['address', ...leftOut]);
  }
  const mode = (stat.mode & 0o777).toString(8);
  if ((stat.mode & 0o077) !== 0 || stat.uid !== 0) {
    const repair = `chown root:root ${PATHS.settings}; chmod 600 ${PATHS.settings}`;
    const owner = stat.uid === 0 ? '' : ` and belongs to the user with the number ${stat.uid}`;
    return bad(`${PATHS.settings} has mode ${mode}${owner}, so other users can read the token`, repair);
  }
  if (lines.length > 0) {
    return bad(`${PATHS.settings}: ${lines.map(describeLineFault).join('; ')}`, RESTART);
  }
  const names = Object.keys(parseEnvFile(text));
  const unknown = names.filter((name) => name.startsWith('AGENT3_') && !isKnownVariable(name));
  if (unknown.length > 0) {
    const what = `${unknown.join(', ')} in ${PATHS.settings}: not a setting, so it has no effect`;
    return bad(what, `${RESTART} (agent3 serve --help has every name)`);
  }
  return good(`only root can read ${PATHS.settings}`);
}

const RESTART = 'correct it, then: systemctl restart agent3';

/** Is the agent reachable from elsewhere without encryption. */
export function exposureFinding(values: Readonly<Record<string, string>>): Found {
  const { host, port, tls, isOpen } = addressOf(values);
  if (!isOpen) return good(`${host} port ${port}${tls ? ', HTTPS' : ''}`);
  return bad(
    `${host} port ${port} is open to the network without encryption, so others can read the token`,
    'agent3 install --host 127.0.0.1 --domain NAME (puts Caddy with HTTPS in front)',
  );
}

/** The watchdog: does it look, and what did it see last. */
export function watchdogFinding({ watchdog }: Manifest): Found {
  if (watchdog === 'none') return good('not installed (to add it: agent3 install --watchdog)');
  if (watchdog === 'timer' && !unitIs('active', WATCHDOG_TIMER)) {
    return bad('its timer is not active', `systemctl enable --now ${WATCHDOG_TIMER}`);
  }
  const last = (readText(`${PATHS.logs}/watchdog.log`) ?? '').trim().split('\n').at(-1) ?? '';
  return lastCheckFinding(last, Date.now(), watchdog === 'timer' ? timerSeconds() : uptime());
}

/** What the last line of the log means. What the watchdog found wrong is not its own fault: other checks look now. */
export function lastCheckFinding(line: string, nowMs: number, onSeconds: number): Found {
  const [time = '', ...words] = line.split(' - ');
  if (time === '') return good('on; its first check is due within 5 minutes');
  const minutes = Math.max(0, Math.round((nowMs - Date.parse(time)) / 60_000));
  if (minutes > LATE_MINUTES && onSeconds > LATE_MINUTES * 60) {
    return bad(`last check ${time}, ${minutes} minutes ago`, 'systemctl status agent3-watchdog.timer agent3-watchdog');
  }
  const found = words.join(' - ');
  return good(`its last check, ${minutes} minutes ago, found: ${found}. The next is due within 5 minutes`);
}

function timerSeconds(): number {
  const since = unitProperties(WATCHDOG_TIMER, 'ActiveEnterTimestampMonotonic').ActiveEnterTimestampMonotonic;
  return uptime() - Number(since) / 1_000_000;
}

const LATE_MINUTES = 16;

/** A fault in words, without the value of the line, which may be a secret. */
export function describeLineFault({ kind, line, name }: EnvFileFault): string {
  switch (kind) {
    case 'none':
      return `line ${line} ${name === undefined ? '' : `(${name} …) `}is not NAME=value, so it has no effect`;
    case 'quote':
      return `line ${line} has an open quote for ${name}, so the lines below become part of its value`;
    case 'backslash':
      return `line ${line} ends with a backslash, so the next line becomes part of the value of ${name}`;
  }
}

/** The kernel then lets a user look into programs that it cannot read (proc(5)). */
const SUID_DUMPABLE = '/proc/sys/fs/suid_dumpable';

/**
 * Whether commands can read the token while the agent starts. The unit has it in its environment, and commands that were
 * left over run as the same user: the kernel keeps them off an executable that this user cannot read.
 */
export function startFinding(manifest: Manifest): Found {
  const { user } = manifest;
  if (user === 'root') return good('the agent runs as root, so only root can inspect it');
  const binary = installedBinary(manifest);
  if (existsSync(binary) && unreadable(binary, user) === undefined) {
    const what = `${user} can read ${binary}, so left-over commands can read the token while the agent starts`;
    return bad(what, `chown root:root ${binary}; chmod 711 ${binary}; systemctl restart agent3`);
  }
  if (readText(SUID_DUMPABLE)?.trim() === '1') {
    const what = 'fs.suid_dumpable is 1, so left-over commands can read the token while the agent starts';
    return bad(what, 'sysctl -w fs.suid_dumpable=0, and the same in /etc/sysctl.d');
  }
  const [first] = exposingLines(runCommand(['systemctl', 'cat', SERVICE]).stdout, binary);
  if (first !== undefined) {
    const what = `the unit has ${first}, which runs as ${user} with the token in its environment, where commands can read it`;
    return bad(what, 'systemctl edit agent3 (write + before the program, so that it runs as root)');
  }
  return good(`no command of ${user} can read the token while the agent starts`);
}

/**
 * Returns the lines of a unit, from the output of `systemctl cat`, that start a program as the unit's user, except for
 * `binary`. A line without a value resets those before it (systemd.service(5)).
 */
export function exposingLines(unit: string, binary: string): string[] {
  const found = new Map<string, string[]>();
  for (const line of serviceLines(unit)) {
    const [, name, prefix = '', program] =
      /^(Exec(?:Condition|Start|Reload|Stop)(?:Pre|Post)?)=\s*([-@:|+!]*)(\S*)/.exec(line) ?? [];
    if (name === undefined) continue;
    const lines = program === '' ? [] : (found.get(name) ?? []);
    found.set(name, program === '' || program === binary || /[+!]/.test(prefix) ? lines : [...lines, line]);
  }
  return [...found.values()].flat();
}
