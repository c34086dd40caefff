import { normalize } from 'node:path';

/** No workspace may be one of these or contain one: write access there makes root. */
const SYSTEM = [
  ...['/bin', '/boot', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/libx32', '/lost+found', '/proc', '/run', '/sbin'],
  ...['/sys', '/usr', '/var/backups', '/var/cache', '/var/lock', '/var/log', '/var/mail', '/var/run', '/var/spool'],
  // What is installed, and what root runs or reads.
  ...['/var/lib/agent3', '/var/lib/apt', '/var/lib/cloud', '/var/lib/containerd', '/var/lib/dbus', '/var/lib/dkms'],
  ...['/var/lib/docker', '/var/lib/dpkg', '/var/lib/kubelet', '/var/lib/libvirt', '/var/lib/lxc', '/var/lib/lxd'],
  ...['/var/lib/machines', '/var/lib/NetworkManager', '/var/lib/polkit-1', '/var/lib/portables', '/var/lib/snapd'],
  ...['/var/lib/sudo', '/var/lib/systemd'],
];

/** Too wide for a workspace; a directory inside may be one. */
const TOO_WIDE: ReadonlySet<string> = new Set([
  ...['/', '/home', '/media', '/mnt', '/opt', '/root', '/srv', '/tmp', '/var', '/var/lib', '/var/tmp'],
]);

/** Returns why a workspace cannot be in `directory`, an absolute path; undefined when it can. */
export function directoryFault(directory: string): string | undefined {
  const plain = normalize(`${directory}/`).slice(0, -1) || '/';
  if (plain !== directory) return `directory ${directory} has another name: write it as ${plain}`;
  const isProtected =
    TOO_WIDE.has(directory) ||
    SYSTEM.some((path) => directory === path || directory.startsWith(`${path}/`)) ||
    // Write access to SSH keys allows to log in.
    directory.split('/').includes('.ssh');
  if (!isProtected) return undefined;
  return `directory ${directory} belongs to the system or the agent itself: choose one below /srv, /home or /opt`;
}
