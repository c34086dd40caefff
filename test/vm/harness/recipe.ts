import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the machines are made of. `image.ts` and `initrd.ts` cook it; a change of any of these makes new images. */

/** Debian 12, in which everything is tried, and Debian 13, for the core path alone. */
export type Suite = 'bookworm' | 'trixie';

/** What the installed agent meets on a server, and what the tests look with. */
const CORE = [
  ...['systemd', 'systemd-sysv', 'udev', 'dbus', 'kmod', 'adduser', 'logrotate', 'cron', 'procps', 'iproute2', 'less'],
  ...['curl', 'ca-certificates', 'openssl', 'jq', 'perl-base', 'bubblewrap', 'psmisc', 'polkitd'],
] as const;

/** On top of Debian's minimal system. */
export const PACKAGES: Readonly<Record<Suite, readonly string[]>> = {
  bookworm: [...CORE, 'python3-flask', 'caddy'],
  // No longer a part of the minimal system; every server has it.
  trixie: [...CORE, 'e2fsprogs'],
};

/** People of the machine other than root. They have a home, a shell and no rights. */
export const LOCAL_USERS = ['visitor'] as const;

/** Debian's kernel for virtual machines: few drivers, a quick start. */
export const KERNEL_PACKAGE = 'linux-image-cloud-amd64';

/** Kernel modules between the kernel and its root disk, and the one of the channel to the tests. */
export const BOOT_MODULES = ['virtio_blk', 'virtio_pci', 'virtio_console', 'ext4'] as const;

/** Nobody reads these in the machine; without them, unpacking and copying are quicker. */
export const LEFT_OUT = [
  '/usr/share/doc/*',
  '/usr/share/man/*',
  '/usr/share/info/*',
  '/usr/share/locale/*',
  '/usr/share/lintian/*',
] as const;

/** Timers, consoles and services that only cost time here, or would wake up in the middle of a test. */
export const MASKED_UNITS = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'man-db.timer',
  'systemd-tmpfiles-clean.timer',
  'getty@tty1.service',
  'getty-static.service',
  'serial-getty@ttyS0.service',
  'systemd-networkd-wait-online.service',
  'systemd-timesyncd.service',
  'systemd-pcrphase.service',
  'systemd-pcrphase-sysinit.service',
  'systemd-pstore.service',
  // Modules that nothing in the machine uses.
  ...['configfs', 'dm_mod', 'drm', 'efi_pstore', 'fuse', 'loop'].map((module) => `modprobe@${module}.service`),
] as const;

/** Installed, but not started: tests that need them start them. */
export const DISABLED_UNITS = ['caddy.service'] as const;

const RUNNER = '/opt/vm/runner.pl';

const RUNNER_UNIT = `[Unit]
Description=Runs what the tests send
StartLimitIntervalSec=0
[Service]
ExecStart=${RUNNER}
Restart=always
RestartSec=500ms
Slice=vm.slice
Environment=HOME=/root LANG=C.UTF-8
# It answers also while the machine is flooded: the last to be killed, and not stopped because a script of it was.
OOMScoreAdjust=-1000
OOMPolicy=continue
TasksMax=infinity
LimitNOFILE=65536
MemoryMin=64M
[Install]
WantedBy=multi-user.target
`;

/** Next to system.slice, so that its share is not one of many services' but half of the machine and more. */
const RUNNER_SLICE = `[Unit]
Description=The tests' own slice
[Slice]
CPUWeight=10000
IOWeight=10000
MemoryMin=64M
`;

/**
 * A daemon as a database is one: it listens below /var/lib, for everybody, and keeps what it is told in `heard`, which is
 * root's alone.
 */
const DATABASE = '/opt/vm/database.pl';
const DATABASE_DIRECTORY = '/var/lib/database';
const DATABASE_SCRIPT = `#!/usr/bin/perl
use strict;
use warnings;
use Socket;
umask 0077;
open(my $heard, '>>', '${DATABASE_DIRECTORY}/heard') or die "heard: $!";
$heard->autoflush(1);
my %sockets;
for (['stream', SOCK_STREAM], ['datagram', SOCK_DGRAM], ['packets', SOCK_SEQPACKET]) {
    my ($name, $type) = @$_;
    my $path = "${DATABASE_DIRECTORY}/$name";
    unlink $path;
    socket(my $socket, PF_UNIX, $type, 0) or die "socket: $!";
    bind($socket, pack_sockaddr_un($path)) or die "$path: $!";
    chmod 0777, $path;
    listen($socket, 10) unless $type == SOCK_DGRAM;
    $sockets{$name} = $socket;
}
while (1) {
    my $all = '';
    vec($all, fileno($_), 1) = 1 for values %sockets;
    select(my $ready = $all, undef, undef, undef);
    for my $name (keys %sockets) {
        next unless vec($ready, fileno($sockets{$name}), 1);
        my $client = $sockets{$name};
        if ($name ne 'datagram') {
            accept($client, $sockets{$name}) or next;
            print $heard "$name: connected\n";
        }
        setsockopt($client, SOL_SOCKET, SO_RCVTIMEO, pack("l!l!", 1, 0)) if $name ne 'datagram';
        recv($client, my $text, 4096, 0);
        print $heard "$name: $text\n";
    }
}
`;
const DATABASE_UNIT = `[Unit]
Description=A daemon with sockets below /var/lib
[Service]
ExecStartPre=/bin/mkdir -p ${DATABASE_DIRECTORY}
ExecStart=${DATABASE}
[Install]
WantedBy=multi-user.target
`;

/** Files of the machine: path → text. What is below /opt/vm can be executed. */
export const FILES: Readonly<Record<string, string>> = {
  [RUNNER]: readFileSync(join(import.meta.dir, 'runner.pl'), 'utf8'),
  '/etc/systemd/system/vm-runner.service': RUNNER_UNIT,
  '/etc/systemd/system/vm.slice': RUNNER_SLICE,
  [DATABASE]: DATABASE_SCRIPT,
  '/etc/systemd/system/vm-database.service': DATABASE_UNIT,
  '/etc/hostname': 'agent3-vm\n',
  '/etc/hosts': '127.0.0.1 localhost agent3-vm agent3.localhost\n::1 localhost\n',
  '/etc/machine-id': `${'0123456789abcdef'.repeat(2)}\n`,
  '/etc/fstab': '',
  // Everything is several times slower under emulation.
  '/etc/systemd/system.conf.d/vm.conf': '[Manager]\nDefaultTimeoutStartSec=300\nDefaultTimeoutStopSec=60\n',
  '/etc/systemd/journald.conf.d/vm.conf': '[Journal]\nStorage=persistent\nSystemMaxUse=32M\n',
};

/** Links that enable units: path → target. */
export const LINKS: Readonly<Record<string, string>> = {
  '/etc/systemd/system/multi-user.target.wants/vm-runner.service': '../vm-runner.service',
  '/etc/systemd/system/multi-user.target.wants/vm-database.service': '../vm-database.service',
};

/** The first program of the machine: finds the root disk and hands over to systemd. */
export const INIT = `#!/bin/sh
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
n=0
while [ ! -b /dev/vda ] && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
mount -t ext4 -o rw,noinit_itable /dev/vda /root
exec switch_root /root /sbin/init
`;
