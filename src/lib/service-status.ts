interface ServiceStatus {
  /** Commands, and processes they left, that it looks after. */
  readonly commands: number;
  /** Those of them that keep their exit codes through a restart. */
  readonly outliving: number;
  /** The owner has frozen the server. */
  readonly isFrozen: boolean;
}

/** The fields of `STATUS=` (sd_notify(3)): the one thing that systemd keeps of a service, and its main process alone writes. */
export function formatServiceStatus({ commands, outliving, isFrozen }: ServiceStatus): string {
  return `commands=${commands} outliving=${outliving}${isFrozen ? ' frozen' : ''}`;
}

/** Reads them back; no commands in any other text. */
export function parseServiceStatus(text: string): ServiceStatus {
  const [, commands, outliving, frozen] = /^commands=(\d+) outliving=(\d+)( frozen)?$/.exec(text) ?? [];
  return { commands: Number(commands ?? 0), outliving: Number(outliving ?? 0), isFrozen: frozen !== undefined };
}
