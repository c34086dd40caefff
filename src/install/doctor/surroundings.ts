import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { connect } from 'node:tls';
import { runCommand } from '../../../ops/watchdog/command.ts';
import { unitProperties } from '../../../ops/watchdog/service.ts';
import { errnoOf } from '../../lib/errors.ts';
import { siteAnswers } from '../caddy.ts';
import type { Manifest } from '../installed.ts';
import { additions } from '../inventory.ts';
import { COMMANDS, PATHS } from '../layout.ts';
import { describeMemoryLimits, readFile, readText, systemIds, unitIs, userExists } from '../machine.ts';
import { readOriginal } from '../original.ts';
import { cronLines, savedPath } from '../takeover.ts';
import { bad, type Found, good } from './finding.ts';

/** The directory of the logs: without it nothing is recorded, so nothing is run. */
export function logsFinding(): Found {
  if (existsSync(PATHS.logs)) return good(`${PATHS.logs} exists`);
  const follow = ['service', 'health', 'command', 'audit', 'watchdog'];
  const what = `${PATHS.logs} is missing, so nothing can be recorded and no command runs`;
  return bad(what, 'systemctl restart agent3 (it makes it)', follow);
}

/** The sessions directory: there, the user's own, closed to others. */
export function sessionsFinding({ user }: Manifest): Found {
  const stat = statSync(PATHS.sessions, { throwIfNoEntry: false });
  if (stat === undefined) return bad(`${PATHS.sessions} is missing`, 'agent3 install');
  const repair = `chown -R ${user}: ${PATHS.sessions}; chmod 700 ${PATHS.sessions}`;
  if (stat.uid !== systemIds.uid(user)) return bad(`${PATHS.sessions} does not belong to ${user}`, repair);
  if ((stat.mode & 0o077) !== 0) return bad(`other users can open ${PATHS.sessions}`, repair);
  return good(`only ${user} can open ${PATHS.sessions}`);
}

/** By the file system, not by its modes: root may write everywhere else. */
function isReadOnly(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errnoOf(error) === 'EROFS';
  }
}

const GIB = 1_073_741_824;
/** Below this, one command at its limit fills the disk. */
const LEAST_FREE_BYTES = GIB;

/** Room for output and logs, and whether anything can be written there at all. */
export function diskFinding(): Found {
  const closed = [PATHS.sessions, PATHS.logs].find(isReadOnly);
  if (closed !== undefined) {
    const mount = runCommand(['findmnt', '-n', '-o', 'TARGET', '--target', closed]).stdout.trim() || '/';
    return bad(
      `${mount} is mounted read-only, so nothing can be written to ${closed}`,
      `for the reason: dmesg | grep -i -e remount -e error; then: mount -o remount,rw ${mount}`,
      ['service', 'health', 'command', 'cgroup', 'https', 'sign-in', 'transfer'],
    );
  }
  const low = [PATHS.sessions, PATHS.logs].filter(existsSync).flatMap((path) => {
    const { bavail, bsize, ffree, files } = statfsSync(path);
    const free = bavail * bsize;
    if (free < LEAST_FREE_BYTES) return [`${path}: ${(free / GIB).toFixed(2)} GiB free`];
    return files > 0 && ffree < 10_000 ? [`${path}: ${ffree} inodes free`] : [];
  });
  if (low.length === 0) return good('more than 1 GiB is free');
  return bad(low.join('; '), 'make room, or lower AGENT3_MAX_SESSIONS_BYTES and AGENT3_MAX_SESSION_BYTES');
}

/** A clock that is wrong makes certificates and log lines wrong. */
export function clockFinding(): Found {
  const now = new Date().toISOString().slice(0, 19);
  const { stdout } = runCommand(['timedatectl', 'show', '-p', 'NTPSynchronized', '--value'], 10);
  if (Date.now() < statSync(process.execPath).mtimeMs - 86_400_000) {
    return bad(`${now} UTC is earlier than this program`, 'set the clock: timedatectl set-ntp true');
  }
  return good(
    `${now} UTC${stdout.trim() === 'yes' ? ', synchronised' : ', not synchronised over the network (timedatectl set-ntp true)'}`,
  );
}

/** Whether systemd has handed a cgroup for the commands over, in which they outlive a restart of the agent. */
export function cgroupFinding({ user }: Manifest, values: Readonly<Record<string, string>>): Found {
  const { Delegate, ControlGroup: path } = unitProperties(COMMANDS, 'Delegate', 'ControlGroup');
  if (path === '') return bad(`${COMMANDS} does not run`, `systemctl start ${COMMANDS}`);
  if (Delegate !== 'yes') return bad('not delegated to the agent', 'agent3 install');
  const above = statSync(`/sys/fs/cgroup${dirname(path)}/cgroup.procs`, { throwIfNoEntry: false });
  if (user !== 'root' && above !== undefined && above.uid !== systemIds.uid(user)) {
    return bad('the agent may not start commands in it', 'systemctl restart agent3');
  }
  const file = `/sys/fs/cgroup${path}/cgroup.controllers`;
  const controllers = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  const missing = ['cpu', 'memory', 'pids'].filter((name) => !controllers.split(' ').includes(name));
  if (missing.length === 0) {
    const all = Number(readText(`/sys/fs/cgroup${path}/memory.max`));
    const memory = describeMemoryLimits(all, Number(values['AGENT3_COMMAND_MEMORY_BYTES'] ?? 0));
    return good(`commands have their own, with ${controllers}; ${memory}`);
  }
  return bad(
    `without ${missing.join(', ')}, so limits have no effect`,
    'boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)',
  );
}

/** Whether the logs are rotated. */
export function logrotateFinding(): Found {
  const { code, stderr } = runCommand(['logrotate', '-d', PATHS.logrotate], 20);
  if (code === 127) return bad('not installed, so the logs grow without limit', 'apt-get install logrotate');
  // It ignores a file that it does not trust or understand, and says so with exit code 0.
  const fault = /^(?:error|Ignoring).*$/m.exec(stderr)?.[0];
  if (code !== 0 || fault !== undefined || !stderr.includes(PATHS.logFile)) {
    const found = `${PATHS.logrotate} is not in use${fault === undefined ? '' : `: ${fault}`}`;
    return bad(found, `logrotate -d ${PATHS.logrotate}; it must belong to root, with mode 0644`);
  }
  const timer = unitIs('active', 'logrotate.timer');
  if (!timer && !existsSync('/etc/cron.daily/logrotate')) {
    return bad('nothing runs it daily', 'systemctl enable --now logrotate.timer');
  }
  return good(`${PATHS.logrotate} is valid and runs daily`);
}

const HANDSHAKE_MS = 10_000;
/** Caddy renews a month before the end; less than this means that it could not. */
const LEAST_DAYS = 14;
/** Caddy's internal authority issues certificates for 12 hours: for them, hours are enough. */
const SHORT_LIVED_DAYS = 7;

/** The certificate that a client of `domain` is shown. */
export async function httpsFinding(domain: string): Promise<Found> {
  const advice =
    'systemctl status caddy; journalctl -u caddy -n 20; check that port 443 is open and the name points here';
  const certificate = await certificateOf(domain);
  if (certificate === undefined)
    return bad(`${domain} does not answer on port 443`, advice, ['sign-in', 'transfer', 'console']);
  if (!(await siteAnswers(domain))) {
    return bad(`${domain} does not lead to the agent`, `agent3 install --domain ${domain}`, ['sign-in', 'transfer']);
  }
  const until = Date.parse(certificate.valid_to);
  const days = (until - Date.now()) / 86_400_000;
  const wholeDays = (until - Date.parse(certificate.valid_from)) / 86_400_000;
  const left = days >= 1 ? `${Math.floor(days)} days` : `${Math.floor(days * 24)} hours`;
  const isEnough = wholeDays < SHORT_LIVED_DAYS ? days > 0 : days > LEAST_DAYS;
  return isEnough ? good(`${domain}, certificate for ${left} more`) : bad(`the certificate ends in ${left}`, advice);
}

interface Certificate {
  readonly valid_from: string;
  readonly valid_to: string;
}

function certificateOf(domain: string): Promise<Certificate | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: 443, servername: domain, rejectUnauthorized: false });
    const settle = (certificate: Certificate | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(certificate);
    };
    const timer = setTimeout(settle, HANDSHAKE_MS, undefined);
    socket.once('error', () => settle(undefined));
    socket.once('secureConnect', () => settle(socket.getPeerCertificate()));
  });
}

/** Whether the users and files that the installer has made are still there. */
export function inventoryFinding(manifest: Manifest): Found {
  const missing = additions({ ...manifest, staged: false }, 'user', 'program', 'file')
    // Where the package puts it, dpkg knows.
    .filter(({ shipped }) => !(manifest.packaged && shipped === true))
    .filter(({ kind, name }) => !(kind === 'user' ? userExists(name) : existsSync(name)))
    .map(({ kind, name }) => (kind === 'user' ? `the user ${name}` : name));
  if (missing.length === 0) return good('users and files of the installation exist');
  return bad(`missing: ${missing.join(', ')}`, 'agent3 install');
}

/** Cron lines of the agent that was here before, which would start it again; none where there was no such agent. */
export function originalFindings(): Found[] {
  const original = readOriginal(readText(savedPath(PATHS.unit)) ?? '', readFile);
  if (original === undefined) return [];
  return cronLines(original).map(({ of, line }) => {
    const [place, repair] =
      'user' in of ? [`the crontab of ${of.user}`, `crontab -u ${of.user} -e`] : [of.file, `an editor on ${of.file}`];
    const what = `${place} starts the agent again whenever it is stopped; the line is from the agent before: ${line.trim()}`;
    return bad(what, `remove that line: ${repair}`);
  });
}
