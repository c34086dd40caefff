import { closeSync, constants, openSync, writeSync } from 'node:fs';

/** Appends a line to the watchdog's log. */
export type WriteLine = (text: string) => void;

/** Opens a log at `path`, `-` for standard output. Refuses a symbolic link, because root writes here. */
export function openJournal(path: string, now: () => Date = () => new Date()): WriteLine {
  return (text) => {
    const line = `${isoDate(now())} - ${text}\n`;
    if (path === '-') {
      process.stdout.write(line);
      return;
    }
    try {
      append(path, line);
    } catch (error) {
      // A full disk must not prevent the restart of the agent: the line goes to systemd's journal.
      process.stderr.write(`${line}(${path}: ${error instanceof Error ? error.message : String(error)})\n`);
    }
  };
}

function append(path: string, line: string): void {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const fd = openSync(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o640);
  try {
    writeSync(fd, line);
  } finally {
    closeSync(fd);
  }
}

/** `2026-11-23T22:35:22+00:00`, as `date -Is` writes it, in the machine's time zone. */
export function isoDate(date: Date): string {
  const offset = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${local}${offset < 0 ? '-' : '+'}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`;
}
