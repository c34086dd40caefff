/** The token that clients of the original send, and where it was found. */
export interface FoundToken {
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

/** What may be such a name. */
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

/**
 * The token of an agent whose settings are `values` and whose program is `source`. What the program compares with what a
 * client sends counts most; then the names that it reads; then the usual names. `read` gives a file's text.
 */
export function findToken(
  values: Readonly<Record<string, string>>,
  source: string,
  read: (path: string) => string | undefined,
): FoundToken | undefined {
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

/** What stands in a comparison, with its value: a variable that was read or written there, or a setting read in place. */
function comparedTokens(
  values: Readonly<Record<string, string>>,
  source: string,
  read: (path: string) => string | undefined,
): Candidate[] {
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

function candidatesOf(
  name: string,
  expression: string,
  values: Readonly<Record<string, string>>,
  read: (path: string) => string | undefined,
): Candidate[] {
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
