import { existsSync } from 'node:fs';
import { runCommand } from '../command.ts';
import { installedBinary } from '../install.ts';
import { SERVICE } from '../layout.ts';
import { readText } from '../machine.ts';
import type { Manifest } from '../manifest.ts';
import { bad, type Finding, good } from './finding.ts';
import { serviceLines } from './unit-probe.ts';
import { unreadable } from './unreadable.ts';

/** The kernel then lets a user look into programs that it cannot read (proc(5)). */
const SUID_DUMPABLE = '/proc/sys/fs/suid_dumpable';

/**
 * Whether commands can read the token while the agent starts. The unit has it in its environment, and commands that were
 * left over run as the same user: the kernel keeps them off an executable that this user cannot read.
 */
export function startFinding(manifest: Manifest): Finding {
  const { user } = manifest;
  if (user === 'root') return good('start', 'the agent is root: so is what could look into it');
  const binary = installedBinary(manifest);
  if (existsSync(binary) && unreadable(binary, user) === undefined) {
    const what = `${user} can read ${binary}: commands that were left over can read the token while the agent starts`;
    return bad('start', what, `chown root:root ${binary}; chmod 711 ${binary}; systemctl restart agent3`);
  }
  if (readText(SUID_DUMPABLE)?.trim() === '1') {
    const what = 'fs.suid_dumpable is 1: commands that were left over can read the token while the agent starts';
    return bad('start', what, 'sysctl -w fs.suid_dumpable=0, and the same in /etc/sysctl.d');
  }
  const [first] = exposingLines(runCommand(['systemctl', 'cat', SERVICE]).stdout, binary);
  if (first !== undefined) {
    const what = `the unit has ${first}, which runs as ${user} with the token in its environment: its commands can read it there`;
    return bad('start', what, 'systemctl edit agent3: write + before the program, which then runs as root');
  }
  return good('start', `no command of ${user} can read the token while the agent starts`);
}

/**
 * The lines of a unit, from the text that `systemctl cat` gives, that start a program as the unit's user, but for
 * `binary`. A line without a value takes back those before it (systemd.service(5)).
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
