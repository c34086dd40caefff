/**
 * The system user that runs the `readonly` commands of an agent that runs as root, unless their profile names another.
 * The installer makes it, without a home or a shell, and puts it into {@link LOG_GROUPS}.
 */
export const LOOK_USER = 'agent3-look';

/** The groups whose members may read the logs of a machine, where it has them. */
export const LOG_GROUPS = ['systemd-journal', 'adm'] as const;
