import { dirname, isAbsolute, join } from 'node:path';
import { parseEnvFile } from '../../ops/env-file.ts';

/** What a Python program is started with. */
const PYTHON = /python|flask|gunicorn|uwsgi|waitress|uvicorn|hypercorn|\.py\b/i;

/** What is taken over from the Flask agent, so that its clients continue without a change. */
export interface Original {
  readonly token: FoundToken | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  /** Files that its output was appended to. */
  readonly logs: readonly string[];
  /** The user that its commands ran as; undefined: one that systemd made for it. */
  readonly user: string | undefined;
  /** Its program, where its unit names a file. */
  readonly script: string | undefined;
}

type Read = (path: string) => string | undefined;
type Values = Readonly<Record<string, string>>;

/** What a unit (with its drop-ins), its `.env` and its program say; undefined where that is no Python program. */
export function readOriginal(unit: string, read: Read): Original | undefined {
  const start = (valuesOf(unit, 'ExecStart').at(-1) ?? '').replace(/^[-@:+!|]+/, '');
  const wrapper = wrapperOf(start, read);
  const command = wrapper === undefined ? start : wrapper.replace(/^\s*#.*$/gm, '').replaceAll('\\\n', ' ');
  if (!PYTHON.test(command)) return undefined;
  const directory =
    valuesOf(unit, 'WorkingDirectory').at(-1)?.replace(/^-/, '') || /\bcd\s+["']?(\/[^\s"';&]*)/.exec(command)?.[1];
  const script = scriptOf(command, directory, read);
  const source = sourceOf(script, read);
  const settings = originalSettings(unit, command, script, directory, source, read);
  const bind = /(?:-b|--bind)[= ]\s*(?:([^\s:]*|\[[^\]]*\]):)?(\d+)/.exec(command);
  const port =
    settings['AGENT3_PORT'] ??
    settings['PORT'] ??
    settings['FLASK_RUN_PORT'] ??
    bind?.[2] ??
    /(?:--port|-p)[= ]\s*(\d+)/.exec(command)?.[1] ??
    /\bport\s*=\s*(\d{2,5})/.exec(source)?.[1];
  const host =
    settings['AGENT3_HOST'] ??
    settings['HOST'] ??
    settings['FLASK_RUN_HOST'] ??
    (bind?.[1] || undefined) ??
    /(?:--host|-h)[= ]\s*([\d.:a-f]+)/.exec(command)?.[1] ??
    /\bhost\s*=\s*["']([\d.:a-f]+)["']/.exec(source)?.[1];
  return {
    token: findToken(settings, source, read),
    host,
    port: asPort(port),
    logs: logsOf(unit),
    user: userOf(unit),
    script,
  };
}

function wrapperOf(start: string, read: Read): string | undefined {
  const texts = wordsOf(start).map((word) => (isAbsolute(word) ? (read(word) ?? '') : ''));
  return texts.find((text) => /^#!.*\b(?:ba|da|z|k)?sh\b/.test(text));
}

function userOf(unit: string): string | undefined {
  if (/^(?:yes|true|on|1)$/i.test(valuesOf(unit, 'DynamicUser').at(-1) ?? '')) return undefined;
  return valuesOf(unit, 'User').at(-1) || 'root';
}

/**
 * Later sources win, as systemd and python-dotenv have it: `.env` fills in what the unit does not set, and a file of the
 * unit comes after its own variables (systemd.exec(5)). What the command sets itself comes last.
 */
function originalSettings(
  unit: string,
  command: string,
  script: string | undefined,
  directory: string | undefined,
  source: string,
  read: Read,
): Record<string, string> {
  const places = [directory, script && dirname(script)].filter((one) => one !== undefined && one !== '');
  const named = [...source.matchAll(/load_dotenv\s*\(\s*(?:dotenv_path\s*=\s*)?["']([^"']+)["']/g)].flatMap(
    ([, name = '']) => (isAbsolute(name) ? [name] : places.map((place) => join(place ?? '', name))),
  );
  const dotenv = [...places.map((place) => join(place ?? '', '.env')), ...named];
  const files = valuesOf(unit, 'EnvironmentFile').map((path) => path.replace(/^-/, ''));
  const inUnit = valuesOf(unit, 'Environment').map((line) => Object.fromEntries(wordsOf(line).map(splitAssignment)));
  const fromFile = (path: string): Record<string, string> => parseEnvFile(read(path) ?? '', { comments: true });
  const inCommand = wordsOf(command)
    .filter((word) => /^[A-Za-z_]\w*=./.test(word))
    .map(splitAssignment);
  return Object.assign({}, ...dotenv.map(fromFile), ...inUnit, ...files.map(fromFile), Object.fromEntries(inCommand));
}

/** The words of a line of a unit; quotes hold one together (systemd.syntax(7)). */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:[^\s"']|"(?:\\.|[^"\\])*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'/g, '$1$2').replaceAll('%%', '%'));
}

function splitAssignment(word: string): [name: string, value: string] {
  const [name = '', ...value] = word.split('=');
  return [name, value.join('=')];
}

/** The file of the program: named in the command, or the module that a server of Python programs is to load. */
function scriptOf(command: string, directory: string | undefined, read: Read): string | undefined {
  const named = /\S+\.py\b/.exec(command)?.[0];
  const module = /\s([A-Za-z_][\w.]*):\w+/.exec(command)?.[1]?.replaceAll('.', '/');
  const names =
    named !== undefined ? [named] : [...(module === undefined ? [] : [`${module}.py`]), 'app.py', 'wsgi.py'];
  const paths = names.flatMap((name) =>
    isAbsolute(name) ? [name] : directory === undefined ? [] : [join(directory, name)],
  );
  return paths.find((path) => read(path) !== undefined) ?? (named === undefined ? undefined : paths[0]);
}

/** Returns the program, with the modules next to it that it imports. */
function sourceOf(script: string | undefined, read: Read): string {
  const text = script === undefined ? '' : (read(script) ?? '');
  const modules = [...text.matchAll(/^\s*(?:from|import)\s+\.?([A-Za-z_]\w*)/gm)].map(([, name]) => name ?? '');
  const imported = [...new Set(modules)].map((name) => read(join(dirname(script ?? '/'), `${name}.py`)) ?? '');
  return [text, ...imported].join('\n');
}

/**
 * Returns every value of a directive; a line that ends in a backslash continues in the next one (systemd.syntax(7)).
 */
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

/** The token that clients of the original send, and where it was found. */
interface FoundToken {
  readonly value: string;
  /** A name of its settings, or its program. */
  readonly from: string;
  /** Other names that it may have been, with another value: its program does not show which one it compares. */
  readonly others: readonly string[];
}

/** Agents of this kind name it so, the likeliest first. */
const USUAL = [
  'AGENT3_API_TOKEN',
  'API_TOKEN',
  'AUTH_TOKEN',
  'AGENT_TOKEN',
  'X_AUTH_TOKEN',
  'SECRET_TOKEN',
  'ACCESS_TOKEN',
  'BEARER_TOKEN',
  'GPT_TOKEN',
  'FLASK_API_TOKEN',
  'TOKEN',
  'API_KEY',
] as const;

const LIKELY = /TOKEN|API_?KEY|SECRET|AUTH|PASSW/i;
/** Flask signs its cookies with the one, and the original never used the other; no client knows them. */
const NO_TOKEN = /SECRET_KEY|^AGENT3_TOKEN$/i;

/** `os.environ["X"]`, `os.environ.get("X", "default")`, `os.getenv("X")`, `config("X")`, `env.str("X")`. */
const READ =
  /(?:environ\s*\[|environ\.get\s*\(|getenv\s*\(|\b(?:config|env)(?:\.str|\.get)?\s*[([])\s*(["'])([A-Za-z_]\w*)\1(?:\s*,\s*(?:default\s*=\s*)?(["'])(.*?)\3)?/g;
const ASSIGNED = /^\s*([A-Za-z_]\w*)\s*(?::\s*[\w.[\] |]+)?=(?!=)\s*(.+)$/gm;
/** A line that compares, and what follows a `compare_digest`, which may go over several lines. */
const COMPARED = /^.*(?:==|!=|\bnot in\b|\bin\b).*$|compare_digest\s*\([^:]{0,300}/gm;
const LITERAL = /^[rub]?(["'])([^"'\\]*)\1/;

/** What the program compares with what clients send counts most; then the names that it reads; then the usual names. */
function findToken(values: Values, source: string, read: Read): FoundToken | undefined {
  const compared = comparedTokens(values, source, read);
  if (compared[0] !== undefined) return chosen(compared);
  const usual = USUAL.filter((name) => values[name]);
  const readNames = new Set([...source.matchAll(READ)].map((match) => match[2] ?? ''));
  const likely = Object.keys(values).filter((name) => values[name] && LIKELY.test(name) && !NO_TOKEN.test(name));
  const order = [...likely.filter((name) => readNames.has(name)), ...usual, ...likely];
  return chosen(order.map((name) => ({ value: values[name] ?? '', from: name })));
}

interface Candidate {
  readonly value: string;
  readonly from: string;
}

function chosen(candidates: readonly Candidate[]): FoundToken | undefined {
  const [first, ...more] = candidates;
  if (first === undefined) return undefined;
  const others = more.filter(({ value, from }) => value !== first.value && from !== first.from).map(({ from }) => from);
  return { ...first, others: [...new Set(others)] };
}

/**
 * Returns the operands of a comparison, with values: a variable that was read or written there, or a setting read in
 * place.
 */
function comparedTokens(values: Values, source: string, read: Read): Candidate[] {
  const variables = new Map([...source.matchAll(ASSIGNED)].map(([, name = '', value = '']) => [name, value]));
  return [...source.matchAll(COMPARED)].flatMap(([text]) => {
    const isDigest = text.startsWith('compare_digest');
    const names = [...text.matchAll(/(?<!["'\w.])[A-Za-z_]\w*/g)].map(([name]) => name);
    const known = names.filter((name) => variables.has(name) && (isDigest || LIKELY.test(name)));
    const expressions: [name: string, expression: string][] = known.map((name) => [name, variables.get(name) ?? '']);
    return [...expressions, ['its program', text] as const].flatMap(([name, expression]) =>
      candidatesOf(name, expression, values, read),
    );
  });
}

function candidatesOf(name: string, expression: string, values: Values, read: Read): Candidate[] {
  const settings = [...expression.matchAll(READ)].filter(
    ([, , setting = '']) => LIKELY.test(setting) || name !== 'its program',
  );
  const found = settings.flatMap(([, , setting = '', , usual = '']) => {
    const value = values[setting] || usual;
    return value === '' ? [] : [{ value, from: setting }];
  });
  if (settings.length > 0 || name === 'its program') return found;
  const literal = LITERAL.exec(expression)?.[2];
  if (literal) return [{ value: literal, from: `${name} in its program` }];
  const file = /(?:open|Path)\s*\(\s*["'](\/[^"']+)["']/.exec(expression)?.[1];
  const text = file === undefined ? undefined : read(file)?.trim();
  return text ? [{ value: text, from: file ?? '' }] : [];
}
