interface ServiceStatus {
  /** Commands, and processes they left, that it looks after. */
  readonly commands: number;
  /** Those of them that keep their exit codes through a restart. */
  readonly outliving: number;
}

/** The text of `STATUS=` (sd_notify(3)), which `systemctl status` shows: the one thing that systemd keeps of a service. */
export function formatServiceStatus({ commands, outliving }: ServiceStatus): string {
  const goOn = outliving === 0 ? '' : `, ${outliving} of them through a restart`;
  return `${commands} ${commands === 1 ? 'command runs' : 'commands run'}${goOn}`;
}

/** Reads it back; no commands in any other text. */
export function parseServiceStatus(text: string): ServiceStatus {
  const [, commands, outliving] = /^(\d+) commands? runs?(?:, (\d+) of them through a restart)?$/.exec(text) ?? [];
  return { commands: Number(commands ?? 0), outliving: Number(outliving ?? 0) };
}
