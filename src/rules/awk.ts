import { asksAboutItself, type Look, NOTHING, unreadable } from './look.ts';
import { type Options, parseOptions } from './options.ts';

const AWK: Options = {
  plain: 'PSnrbst',
  plainLong: ['posix', 're-interval', 'sandbox', 'csv', 'traditional', 'characters-as-bytes'],
  valued: 'Fv',
  valuedLong: ['field-separator', 'assign'],
};

/** Reads its program: it may pipe into others. */
export const awk: Look = (args) => {
  if (asksAboutItself(args)) return NOTHING;
  const program = parseOptions(args, AWK)?.rest[0];
  const code = program?.isKnown === true ? codeOf(program.text) : undefined;
  return code !== undefined && !/system|getline|\||@/.test(code)
    ? NOTHING
    : unreadable('its program may run other programs');
};

/** A program without its strings, expressions and comments, and with `||` as a comma; undefined: it cannot be read. */
function codeOf(program: string): string | undefined {
  let code = '';
  const token = /"(?:[^"\\\n]|\\[\s\S])*"|\/(?:[^/\\\n[]|\\.|\[\^?\]?[^\]/\\\n]*\])*\/|#[^\n]*|\|\||\\\n|[\s\S]/y;
  while (token.lastIndex < program.length) {
    const at = token.lastIndex;
    const found = token.exec(program)?.[0] ?? '';
    if (found.length === 1 && /["\\]/.test(found)) return undefined;
    if (found.startsWith('/') && !/(?:^|[(,{};!&|~\n])[ \t]*$/.test(code.slice(-20))) {
      // A division, or what may be one.
      code += '/';
      token.lastIndex = at + 1;
    } else if (found === '/') return undefined;
    else if (found.startsWith('"') || found.startsWith('/')) code += '0';
    else if (found === '||') code += ',';
    else if (found !== '\\\n' && !found.startsWith('#')) code += found;
  }
  return code;
}
