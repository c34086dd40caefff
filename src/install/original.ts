import { isAbsolute, join } from 'node:path';
import { parseSettings } from './settings-file.ts';

/** What is taken over from the Flask agent, so that its clients go on with no change. */
export interface Original {
  readonly token: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  /** Files that its output was appended to. */
  readonly logs: readonly string[];
}

/**
 * Reads the unit of the original agent, its `.env` and its script; undefined when the unit is not of a Python program.
 * `read` gives a file's text, or undefined.
 */
export function readOriginal(unit: string, read: (path: string) => string | undefined): Original | undefined {
  const command = valuesOf(unit, 'ExecStart').at(-1) ?? '';
  if (!/python|flask|gunicorn|uwsgi|waitress/i.test(command)) return undefined;
  const directory = valuesOf(unit, 'WorkingDirectory').at(-1)?.replace(/^-/, '');
  const settings = originalSettings(unit, command, directory, read);
  const script = scriptOf(command, directory, read);
  const bind = /(?:-b|--bind)[= ]\s*(?:([^\s:]*|\[[^\]]*\]):)?(\d+)/.exec(command);
  const port =
    settings['AGENT3_PORT'] ??
    settings['PORT'] ??
    settings['FLASK_RUN_PORT'] ??
    bind?.[2] ??
    /(?:--port|-p)[= ]\s*(\d+)/.exec(command)?.[1] ??
    /\bport\s*=\s*(\d{2,5})/.exec(script)?.[1];
  const host =
    settings['AGENT3_HOST'] ??
    settings['HOST'] ??
    settings['FLASK_RUN_HOST'] ??
    (bind?.[1] || undefined) ??
    /(?:--host|-h)[= ]\s*([\d.:a-f]+)/.exec(command)?.[1] ??
    /\bhost\s*=\s*["']([\d.:a-f]+)["']/.exec(script)?.[1];
  return { token: settings['AGENT3_API_TOKEN'], host, port: asPort(port), logs: logsOf(unit) };
}

/** Later sources win, as systemd and python-dotenv have it: the unit's own variables come before a file's. */
function originalSettings(
  unit: string,
  command: string,
  directory: string | undefined,
  read: (path: string) => string | undefined,
): Record<string, string> {
  const script = /\S+\.py\b/.exec(command)?.[0];
  const scriptDirectory = script !== undefined && isAbsolute(script) ? join(script, '..') : undefined;
  const files = [
    ...[directory, scriptDirectory].filter((one) => one !== undefined).map((one) => join(one, '.env')),
    ...valuesOf(unit, 'EnvironmentFile').map((path) => path.replace(/^-/, '')),
  ];
  const fromFiles = files.map((path) => parseSettings(read(path) ?? ''));
  const inUnit = valuesOf(unit, 'Environment').map((line) =>
    parseSettings(line.replace(/(["'])([A-Za-z_]\w*=)/g, '$2$1').replace(/\s+(?=[A-Za-z_]\w*=)/g, '\n')),
  );
  return Object.assign({}, ...fromFiles, ...inUnit);
}

function scriptOf(command: string, directory: string | undefined, read: (path: string) => string | undefined): string {
  const script = /\S+\.py\b/.exec(command)?.[0];
  if (script === undefined) return '';
  if (isAbsolute(script)) return read(script) ?? '';
  return directory === undefined ? '' : (read(join(directory, script)) ?? '');
}

/** Every value of a directive; a line that ends in a backslash goes on in the next one (systemd.syntax(7)). */
function valuesOf(unit: string, name: string): string[] {
  const lines = unit.replace(/\\\n\s*/g, ' ').split('\n');
  return lines.flatMap((line) => {
    const [key, ...value] = line.split('=');
    return key?.trim() === name ? [value.join('=').trim()] : [];
  });
}

function logsOf(unit: string): string[] {
  const targets = [...valuesOf(unit, 'StandardOutput'), ...valuesOf(unit, 'StandardError')];
  const files = targets.flatMap((target) => /^(?:append|file|truncate):(\/\S+)$/.exec(target)?.[1] ?? []);
  return [...new Set(files)];
}

function asPort(text: string | undefined): number | undefined {
  const port = Number(text);
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}
