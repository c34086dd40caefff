import { expect, test } from 'bun:test';
import { describeSandboxFault } from '../../src/sandbox/sandbox-cause.ts';

const OWN = '/proc rw,nosuid shared:10 - proc proc rw';
const mounted = (...points: string[]): string =>
  points.map((point) => `73 191 0:58 / ${point} rw - tmpfs tmpfs rw`).join('\n');
const NO_PERMISSION =
  'bwrap: No permissions to create a new namespace, likely because the kernel does not allow non-privileged user namespaces.';
const NO_PROC = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted";

/** What bubblewrap said, the switches of the machine, what is mounted, the user; then the reported fault. */
const faults: readonly [
  said: string,
  switches: Record<string, number>,
  mounts: string,
  user: number,
  what: RegExp,
  cure: RegExp | undefined,
][] = [
  [
    NO_PERMISSION,
    { 'user.max_user_namespaces': 0 },
    '',
    999,
    /user\.max_user_namespaces is 0$/,
    /^sysctl -w user\.max_user_namespaces=15000;/,
  ],
  [NO_PERMISSION, { 'user.max_user_namespaces': 0 }, '', 0, /user\.max_user_namespaces is 0$/, /sysctl\.d/],
  [NO_PERMISSION, { 'kernel.unprivileged_userns_clone': 0 }, '', 999, /unprivileged_userns_clone is 0$/, /clone=1;/],
  [NO_PERMISSION, { 'kernel.unprivileged_userns_clone': 0 }, '', 0, /filter of system calls/, /RestrictNamespaces=/],
  [NO_PERMISSION, { 'kernel.apparmor_restrict_unprivileged_userns': 1 }, '', 999, /apparmor.* is 1$/, /userns=0;/],
  [
    NO_PERMISSION,
    { 'kernel.apparmor_restrict_unprivileged_userns': 0, 'user.max_user_namespaces': 9 },
    '',
    999,
    /namespace\): a filter/,
    /Restrict/,
  ],
  ["bwrap: Can't open source /: Function not implemented", {}, '', 999, /filter of system calls/, /RestrictSUIDSGID=/],
  ['', {}, '', 999, /it was killed\): a filter of system calls/, /SystemCallFilter=/],
  [
    NO_PROC,
    {},
    mounted('/proc', '/proc/sys/kernel/hostname'),
    999,
    /over \/proc\/sys\/kernel\/hostname$/,
    /ProtectHostname=no/,
  ],
  [NO_PROC, {}, mounted('/proc/sys', '/proc/kmsg', '/proc/sys'), 0, /over \/proc\/sys, \/proc\/kmsg$/, /container/],
  [NO_PROC, {}, mounted('/proc', '/proc/sys/fs/binfmt_misc'), 999, /filter of system calls/, /systemctl cat/],
  [
    'bwrap: cannot open /proc/sys/user/max_user_namespaces: Read-only file system',
    {},
    mounted('/proc/sys'),
    999,
    /over \/proc\/sys$/,
    /Tunables/,
  ],
  [
    "bwrap: Can't mkdir /x: No space left on device",
    {},
    OWN,
    999,
    /\(bwrap: Can't mkdir \/x: No space left on device\)$/,
    undefined,
  ],
];
test.each(faults)('bubblewrap’s words %j with %j', (said, switches, mounts, user, what, cure) => {
  const fault = describeSandboxFault(said, { sysctl: (name) => switches[name], mounts, user });
  expect(fault.what).toMatch(what);
  if (cure === undefined) expect(fault.cure).toBeUndefined();
  else expect(fault.cure).toMatch(cure);
  expect(`${fault.what}${fault.cure}`).not.toContain('likely because');
});
