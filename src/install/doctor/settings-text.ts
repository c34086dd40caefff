/** A line of a settings file that systemd reads otherwise than its owner means it. */
export interface LineFault {
  /** Without the value, which may be a secret. */
  readonly what: string;
  /** Whether lines below are read as its value. */
  readonly takesMore: boolean;
}

/** What is wrong with the lines of a settings file, as systemd reads it (systemd.exec(5), EnvironmentFile=). */
export function settingsLineFaults(text: string): LineFault[] {
  return text.split('\n').flatMap((line, index) => {
    const fault = lineFault(line.trim());
    return fault === undefined ? [] : [{ ...fault, what: `line ${index + 1} ${fault.what}` }];
  });
}

function lineFault(line: string): LineFault | undefined {
  if (line === '' || line.startsWith('#') || line.startsWith(';')) return undefined;
  const [, name, value = ''] = /^(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line) ?? [];
  if (name === undefined) {
    const word = /^[A-Za-z_]\w*/.exec(line)?.[0].slice(0, 60);
    const which = word === undefined ? '' : `(${word} …) `;
    return { what: `${which}is not NAME=value, so it has no effect`, takesMore: false };
  }
  const rest = afterQuotes(value);
  if (rest === undefined) {
    const what = `opens a quote for ${name} and does not close it, so lines below count as its value`;
    return { what, takesMore: true };
  }
  if (!/(?:^|[^\\])(?:\\\\)*\\$/.test(rest)) return undefined;
  return { what: `ends in a backslash, so the next line counts as the value of ${name}`, takesMore: true };
}

/** What is left of a value behind the quoted strings that it begins with; undefined where one of them is open. */
function afterQuotes(value: string): string | undefined {
  const quoted = /^(?:'[^']*'|"(?:[^"\\]|\\.)*")\s*/.exec(value)?.[0];
  if (quoted !== undefined) return afterQuotes(value.slice(quoted.length));
  return /^['"]/.test(value) ? undefined : value;
}
