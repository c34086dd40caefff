interface ServiceStatus {
  /** Commands, and processes they left, that it looks after. */
  readonly commands: number;
  /** Those of them that keep their exit codes through a restart. */
  readonly outliving: number;
}

/** The fields of `STATUS=` (sd_notify(3)): the one thing that systemd keeps of a service, and its main process alone writes. */
export function formatServiceStatus({ commands, outliving }: ServiceStatus): string {
  return `commands=${commands} outliving=${outliving}`;
}

/** Reads them back; no commands in any other text. */
export function parseServiceStatus(text: string): ServiceStatus {
  const [, commands, outliving] = /^commands=(\d+) outliving=(\d+)$/.exec(text) ?? [];
  return { commands: Number(commands ?? 0), outliving: Number(outliving ?? 0) };
}
