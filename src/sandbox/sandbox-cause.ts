import { readFileSync } from 'node:fs';

/** Why something cannot run on this machine, and what its owner can do about it. */
export interface MachineFault {
  readonly what: string;
  /** A command, or what to change; undefined if `what` is enough. */
  readonly cure?: string;
  /** It says nothing about the next try: what is hidden changed meanwhile, or the machine was busy. */
  readonly isPassing?: boolean;
}

/** A fault and its cure as one text. */
export function faultText({ what, cure }: MachineFault): string {
  return cure === undefined ? what : `${what}. The cure: ${cure}`;
}

/** bubblewrap is not installed. */
export const NO_BUBBLEWRAP: MachineFault = { what: 'bubblewrap is not installed', cure: 'apt-get install bubblewrap' };

/** The state of a machine that decides whether a user can make a sandbox. */
export interface Surroundings {
  /** The number in a file of /proc/sys; undefined if there is no such file. */
  readonly sysctl: (name: string) => number | undefined;
  /** /proc/self/mountinfo. */
  readonly mounts: string;
  /** The user that makes the sandbox. */
  readonly user: number;
}

/**
 * Switches of the kernel: the value that forbids user namespaces, and one that allows them. The first and last do not
 * apply to root.
 */
const SWITCHES: readonly (readonly [name: string, forbids: number, allows: number, forRoot: boolean])[] = [
  ['user.max_user_namespaces', 0, 15_000, true],
  // Debian's own.
  ['kernel.unprivileged_userns_clone', 0, 1, false],
  // Ubuntu's, from 23.10 on.
  ['kernel.apparmor_restrict_unprivileged_userns', 1, 0, false],
];

/**
 * Returns why bubblewrap has failed with the last message `said`: a switch of the kernel, a mount of systemd or a
 * container over parts of /proc, a filter of system calls; else the message itself.
 */
export function describeSandboxFault(said: string, { sysctl, mounts, user }: Surroundings): MachineFault {
  // Only the beginning: bubblewrap then guesses at causes that were examined here.
  const reason = said === '' ? 'it was killed' : said.replace(/, likely because.*/, '');
  const what = `bubblewrap cannot make a sandbox (${reason})`;
  const off = SWITCHES.find(([name, forbids, , forRoot]) => sysctl(name) === forbids && (forRoot || user !== 0));
  if (off !== undefined) {
    const [name, forbids, allows] = off;
    const line = `${name}=${allows}`;
    return {
      what: `user namespaces are switched off: ${name} is ${forbids}`,
      cure: `sysctl -w ${line}; echo ${line} > /etc/sysctl.d/60-agent3.conf`,
    };
  }
  const covered = /mount proc|\/proc\/sys\S* ?: Read-only/i.test(said) ? coveredInProc(mounts) : [];
  if (covered.length > 0) {
    return {
      what: `${what}: it needs a /proc of its own, and something is mounted over ${covered.slice(0, 3).join(', ')}`,
      cure: 'in the unit of the agent (systemctl edit agent3): ProtectHostname=no, ProtectKernelTunables=no, ProtectKernelLogs=no; a container has to leave /proc whole',
    };
  }
  if (said === '' || /not implemented|No permissions to creat|Operation not permitted/i.test(said)) {
    return {
      what: `${what}: a filter of system calls forbids it`,
      cure: 'look for RestrictSUIDSGID=, RestrictNamespaces= and SystemCallFilter= in: systemctl cat agent3; in a container, its own filter',
    };
  }
  return { what };
}

/** Returns what is mounted on single files and directories of /proc. */
function coveredInProc(mounts: string): string[] {
  const points = mounts.split('\n').map((line) => line.split(' ')[4] ?? '');
  return [...new Set(points)].filter((point) => /^\/proc\/(?!sys\/fs\/binfmt_misc$)./.test(point));
}

/** This machine, for the user that makes the sandbox. */
export function surroundingsFor(user: number): Surroundings {
  return {
    sysctl: (name) => {
      const text = readText(`/proc/sys/${name.replaceAll('.', '/')}`);
      return text === undefined ? undefined : Number(text);
    },
    mounts: readText('/proc/self/mountinfo') ?? '',
    user,
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // This kernel does not have it.
    return undefined;
  }
}

/** Returns the reason why nothing was run, from what the programs that isolate a command wrote when they failed. */
export function describeFailure(stderr: string): string {
  const line = lastLine(stderr);
  if (line.includes('--bind-fd'))
    return 'bubblewrap here is too old for a workspace: it has no --bind-fd (Debian 12 has it from 0.8.0-2+deb12u1 on: apt-get install bubblewrap)';
  const [, program, reason = line] = /^(agent3|bwrap): (.*)$/.exec(line) ?? [];
  if (program === 'agent3') return reason;
  if (program === 'bwrap') return `bubblewrap cannot make a sandbox (${reason})`;
  return `the programs that hold its commands failed (${line || 'they gave no reason'})`;
}

export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
}
