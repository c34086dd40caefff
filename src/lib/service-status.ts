interface ServiceStatus {
  /** Commands and left-behind processes under supervision. */
  readonly commands: number;
  /** Those of them that keep their exit codes through a restart. */
  readonly outliving: number;
  /** Whether the owner has frozen the server. */
  readonly isFrozen: boolean;
}

/**
 * Formats `STATUS=` (sd_notify(3)): the one text that systemd keeps of a service, and that only its main process
 * writes.
 */
export function formatServiceStatus({ commands, outliving, isFrozen }: ServiceStatus): string {
  return `commands=${commands} outliving=${outliving}${isFrozen ? ' frozen' : ''}`;
}

/** Parses them; no commands in any other text. */
export function parseServiceStatus(text: string): ServiceStatus {
  const [, commands, outliving, frozen] = /^commands=(\d+) outliving=(\d+)( frozen)?$/.exec(text) ?? [];
  return { commands: Number(commands ?? 0), outliving: Number(outliving ?? 0), isFrozen: frozen !== undefined };
}
