import { isAbsolute, join } from 'node:path';
import type { Original } from './original.ts';

/** A table of cron jobs. */
export interface CronTable {
  /** The user whose crontab it is, or the file of the system's, whose lines name a user. */
  readonly of: { readonly user: string } | { readonly file: string };
  readonly text: string;
}

/** A line of a table that starts the original, or its unit, again and again. */
export interface CronLine {
  readonly of: CronTable['of'];
  readonly line: string;
  /** The scripts that it runs. */
  readonly scripts: readonly string[];
}

/**
 * The lines that would undo a `systemctl stop agent3`: those that start the program of the original, and those that start
 * the unit at least once an hour or at boot. One that runs daily, such as a backup that stops and starts it, stays.
 */
export function findCronLines(
  original: Original,
  tables: readonly CronTable[],
  read: (path: string) => string | undefined,
): CronLine[] {
  return tables.flatMap(({ of, text }) =>
    text.split('\n').flatMap((line) => {
      const job = parseJob(line, 'file' in of);
      if (job === undefined) return [];
      const scripts = scriptsIn(job.command).filter((path) => read(path) !== undefined);
      const texts = scripts.filter((path) => path !== original.script).map((path) => withoutComments(read(path) ?? ''));
      const starts = [job.command, ...texts].some((one) => startsProgram(one, original));
      const wakes = job.isOften && (startsUnit(job.command) || texts.some(isWatchdog));
      return starts || wakes ? [{ of, line, scripts: scripts.filter((path) => path !== original.script) }] : [];
    }),
  );
}

function withoutComments(text: string): string {
  return text.replace(/^\s*#.*$/gm, '');
}

/** A script that starts the unit; its name may stand in a variable. */
function isWatchdog(text: string): boolean {
  const isNamed = /\b\w+\s*=\s*["']?agent3(?:\.service)?["']?\s*$/m.test(text);
  return (
    startsUnit(text) ||
    (isNamed && /\b(?:systemctl|service)\b[^\n]*\b(?:re)?start\b[^\n]*(?:\$|\b[A-Z_]{3,}\b)/.test(text))
  );
}

interface Job {
  readonly command: string;
  /** At least once an hour, or at boot. */
  readonly isOften: boolean;
}

function parseJob(line: string, namesUser: boolean): Job | undefined {
  const user = namesUser ? '\\S+\\s+' : '';
  const [, word, command = ''] = new RegExp(`^\\s*@(\\w+)\\s+${user}(.+)$`).exec(line) ?? [];
  if (word !== undefined) return { command, isOften: word === 'reboot' || word === 'hourly' };
  const fields = new RegExp(`^\\s*([\\d*][^\\s=]*)\\s+(\\S+)\\s+\\S+\\s+\\S+\\s+\\S+\\s+${user}(.+)$`).exec(line);
  return fields === null ? undefined : { command: fields[3] ?? '', isOften: /^\*/.test(fields[2] ?? '') };
}

/** Whether a text starts or enables the unit; `reload` and `stop` start nothing. */
export function startsUnit(text: string): boolean {
  return (
    /\bsystemctl\b[^\n;&|]*\b(?:start|restart|enable|reload-or-restart|reenable|unmask)\b[^\n;&|]*\bagent3\b/.test(
      text,
    ) ||
    /\bservice\s+agent3(?:\.service)?\s+(?:re)?start\b/.test(text) ||
    /init\.d\/agent3\s+(?:re)?start\b/.test(text)
  );
}

function startsProgram(text: string, { script }: Original): boolean {
  if (script === undefined) return false;
  const name = script.split('/').at(-1)?.replaceAll('.', '\\.') ?? '';
  return new RegExp(`\\b(?:python[\\d.]*|gunicorn|flask)\\b[^\\n]*[\\s/"']${name}\\b`).test(text);
}

/** Paths among the words of a command; those that are no absolute ones are seen from the directory it changes to. */
function scriptsIn(command: string): string[] {
  const directory = /\bcd\s+["']?(\/[^\s"';&]*)/.exec(command)?.[1];
  const words = command.match(/[^\s;&|<>()"'`]+/g) ?? [];
  return [
    ...new Set(
      words.flatMap((word) => {
        if (isAbsolute(word)) return [word];
        return directory === undefined || !/[./]/.test(word) ? [] : [join(directory, word)];
      }),
    ),
  ];
}
