import { existsSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import restore from '../../ops/agent3-restore.sh' with { type: 'text' };
import { runCommand } from '../../ops/watchdog/command.ts';
import type { Changes } from './changes.ts';
import { PATHS, SERVICE } from './layout.ts';
import { namesIn, readFile } from './machine.ts';
import type { Original } from './original.ts';
import { fill } from './plan.ts';
import { dropInsOf, isStaged, type Situation } from './survey.ts';

const RESTORE = `${PATHS.saved}/restore`;

/** Files that the original may have been set up with, besides its own directory. */
export function originalFiles(changes: Changes): string[] {
  const watchdog = [PATHS.watchdogService, PATHS.watchdogTimer, PATHS.watchdogCron];
  const hourly = namesIn(changes.at('/etc/cron.hourly')).map((name) => `/etc/cron.hourly/${name}`);
  const waking = hourly.filter((path) => startsUnit(readFile(changes.at(path)) ?? ''));
  return [PATHS.unit, ...dropInsOf(changes), PATHS.logrotate, '/etc/cron.d/agent3', ...watchdog, ...waking];
}

/** Keeps what the original was set up with, stops its cron jobs, writes the way back, and says all of it. */
export function saveOriginal(situation: Situation, original: Original): void {
  const { changes, notes } = situation;
  const files = originalFiles(changes).filter((path) => existsSync(changes.at(path)));
  changes.directory(PATHS.saved, { mode: 0o700 });
  const modes = files.map((path) => (statSync(changes.at(path)).mode & 0o777).toString(8).padStart(4, '0'));
  for (const path of files) changes.move(path, savedPath(path));
  const jobs = isStaged(situation.options) ? [] : cronLines(original, (path) => changes.at(path));
  for (const script of new Set(jobs.flatMap(({ scripts }) => scripts))) {
    changes.file(savedPath(script), readFile(script) ?? '', { mode: 0o600 });
  }
  const tables = Map.groupBy(jobs, ({ of }) => JSON.stringify(of));
  const back = [...tables.values()].map((lines) => removeLines(changes, lines));
  const put = files.map((path, index) => `install -D -m ${modes[index]} ${savedPath(path)} ${path}`);
  const script = { PATH: RESTORE, UNIT: SERVICE, FILES: put.join('\n'), CRON: back.flat().join('\n') };
  changes.file(RESTORE, fill(restore, script), { mode: 0o700 });
  notes.push(...notesOf(situation, original, jobs));
}

/** Replaces `agent3 install --uninstall`, which the builds up to 8b18cd4 wrote, in a way back that lies there. */
export function renewRestore(changes: Changes): void {
  const script = readFile(changes.at(RESTORE));
  if (script === undefined) return;
  changes.file(RESTORE, script.replaceAll('agent3 install --uninstall', 'agent3 uninstall'), { mode: 0o700 });
}

/** The lines of cron on this machine that start the original, or its unit. */
export function cronLines(original: Original, at: (path: string) => string = (path) => path): CronLine[] {
  const users = new Set(['root', original.user ?? 'root']);
  const own: CronTable[] = [...users].map((user) => ({
    of: { user },
    text: runCommand(['crontab', '-u', user, '-l']).stdout,
  }));
  const names = namesIn('/etc/cron.d').filter((name) => READ_BY_CRON.test(name));
  const files = ['/etc/crontab', ...names.map((name) => `/etc/cron.d/${name}`)].filter(
    (path) => path !== PATHS.watchdogCron,
  );
  const system: CronTable[] = files.map((file) => ({ of: { file }, text: readFile(at(file)) ?? '' }));
  return findCronLines(original, [...own, ...system], readFile);
}

/** Other names in its directory cron leaves alone (cron(8)). */
const READ_BY_CRON = /^[\w-]+$/;

/** Where a file of the original is kept. */
export function savedPath(path: string): string {
  return `${PATHS.saved}/${path.replace(/^\/(?:etc\/)?/, '').replaceAll('/', '_')}`;
}

/** Removes lines from a table, and keeps them. Returns the commands that restore them. */
function removeLines(changes: Changes, jobs: readonly CronLine[]): string[] {
  const [{ of } = { of: { user: 'root' } }] = jobs;
  const text = `${jobs.map(({ line }) => line).join('\n')}\n`;
  if ('user' in of) {
    const kept = savedPath(`/crontab-${of.user}.lines`);
    changes.file(kept, text, { mode: 0o600 });
    const others = `crontab -u ${of.user} -l 2>/dev/null | grep -vxFf ${kept}`;
    const back = `{ ${others}; cat ${kept}; } | crontab -u ${of.user} -`;
    changes.command(['sh', '-c', `${others} | crontab -u ${of.user} -`], () => void runCommand(['sh', '-c', back]));
    return [back];
  }
  const kept = savedPath(`${of.file}.lines`);
  changes.file(kept, text, { mode: 0o600 });
  const lines = new Set(jobs.map(({ line }) => line));
  const without = (readFile(changes.at(of.file)) ?? '').split('\n').filter((line) => !lines.has(line));
  changes.file(of.file, without.join('\n'), { mode: statSync(changes.at(of.file)).mode & 0o777 });
  return [`grep -qxFf ${kept} ${of.file} 2>/dev/null || cat ${kept} >> ${of.file}`];
}

function notesOf({ options, input, newToken }: Situation, original: Original, jobs: readonly CronLine[]): string[] {
  const { token, user } = original;
  const notes = [`the agent from before is replaced, on the same address and port; ${describeTokens()}`];
  function describeTokens(): string {
    if (options.token !== undefined) return 'its clients need the given token';
    if (newToken === undefined) return `its clients need the token in ${PATHS.settings}, which already existed`;
    if (token === undefined) return 'its token was not found: enter the new one in its clients';
    const others =
      token.others.length === 0
        ? ''
        : `. If it is another one (${token.others.join(', ')}), run: agent3 install --token -`;
    return `its token (${token.from}) stays valid${others}`;
  }
  if (input.user === 'root') {
    notes.push('it ran as root, so the new agent does too. For fewer rights: agent3 install --user agent3');
  } else if (user !== input.user) {
    notes.push(
      `it ran as ${user ?? 'a user of systemd'}, but the new agent runs as ${input.user}: clients can do what that user can`,
    );
  }
  for (const { of, line } of jobs) {
    notes.push(
      `taken out of ${'user' in of ? `the crontab of ${of.user}` : of.file}, because it would start the old agent again: ${line.trim()}`,
    );
  }
  notes.push(`its files are kept in ${PATHS.saved}. To go back to it: sh ${RESTORE}`);
  return notes;
}

interface CronTable {
  /** The user whose crontab it is, or the file of the system's, whose lines name a user. */
  readonly of: { readonly user: string } | { readonly file: string };
  readonly text: string;
}

/** A line of a table that starts the original, or its unit, again and again. */
interface CronLine {
  readonly of: CronTable['of'];
  readonly line: string;
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
function startsUnit(text: string): boolean {
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
