/**
 * The system user that runs the commands of `readonly` and of `look` for an agent that runs as root, unless their
 * profile names another. The installer makes it, without a home or a shell, and adds it to {@link LOG_GROUPS}.
 */
export const LOOK_USER = 'agent3-look';

/** Groups whose members may read the logs of a machine, if they exist. */
export const LOG_GROUPS = ['systemd-journal', 'adm'] as const;

/** Forbids this user every change by the system bus (dbus-daemon(1)): without it, `look` has no bus. */
export const LOOK_POLICY = '/etc/dbus-1/system.d/agent3-look.conf';
