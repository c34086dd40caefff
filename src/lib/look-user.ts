/**
 * The system user that runs the commands of `readonly` and of `look` for an agent that runs as root, unless their profile
 * names another.
 * The installer makes it, without a home or a shell, and puts it into {@link LOG_GROUPS}.
 */
export const LOOK_USER = 'agent3-look';

/** The groups whose members may read the logs of a machine, where it has them. */
export const LOG_GROUPS = ['systemd-journal', 'adm'] as const;

/** What keeps this user from every change by the system bus (dbus-daemon(1)): without it, `look` has no bus. */
export const LOOK_POLICY = '/etc/dbus-1/system.d/agent3-look.conf';
