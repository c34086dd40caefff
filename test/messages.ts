/**
 * Prints the texts of src and ops that a person or a model may read, with file and line, for a review:
 * `bun test/messages.ts [FOLDER…]`. A text is a string or template of two words or more, or one word with a capital letter.
 */
import { join } from 'node:path';

const ROOT = join(import.meta.dir, '..');
const IS_TEXT = /\p{L}\S*\s+\S*\p{L}|^\p{Lu}\p{Ll}+\W?$/u;
/** A comment, a string, a regular expression, the start or end of a template or of code in it, or any other character. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|(?<=[(,=:[!&|?{};>]\s*|return )\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/|[`{}]|./gsy;
const OF_TEMPLATE = /(?:\\.|(?!\$\{)[^`\\])*(?:`|\$\{)/gsy;

interface Text {
  readonly line: number;
  readonly text: string;
}

/** Returns the texts of a TypeScript file. A template keeps the code in it; strings in that code are texts too. */
export function textsIn(source: string): Text[] {
  const texts: Text[] = [];
  /** Where templates that are open began, each with the depth of braces in its code. */
  const open: { start: number; depth: number }[] = [];
  const add = (start: number, end: number) => {
    const text = source.slice(start, end);
    if (IS_TEXT.test(text)) texts.push({ line: source.slice(0, start).split('\n').length, text });
  };
  const matchAt = (pattern: RegExp, index: number): string => {
    pattern.lastIndex = index;
    return pattern.exec(source)?.[0] ?? '';
  };
  let index = 0;
  const readTemplate = () => {
    index += matchAt(OF_TEMPLATE, index).length || 1;
    const template = open.at(-1);
    if (source[index - 1] !== '`' || template === undefined) return;
    open.pop();
    add(template.start, index - 1);
  };
  while (index < source.length) {
    const token = matchAt(TOKEN, index);
    const start = index;
    index += token.length || 1;
    const template = open.at(-1);
    if (/^['"]/.test(token)) add(start + 1, index - 1);
    else if (token === '`') {
      open.push({ start: index, depth: 0 });
      readTemplate();
    } else if (template !== undefined && token === '{') template.depth++;
    else if (template !== undefined && token === '}' && template.depth-- === 0) {
      template.depth = 0;
      readTemplate();
    }
  }
  return texts.sort((a, b) => a.line - b.line);
}

/** Returns the lines of a script or unit that have a comment, a description or a string. */
function linesIn(source: string): Text[] {
  const lines = source.split('\n').map((text, index) => ({ line: index + 1, text: text.trim() }));
  return lines.filter(({ text }) => /^#(?!!)|Description=|["']/.test(text) && IS_TEXT.test(text));
}

if (import.meta.main) {
  const folders = process.argv.length > 2 ? process.argv.slice(2) : ['src', 'ops'];
  const pattern =
    '**/{*.{ts,tsx,sh,pl,bash,service,conf,socket,path,slice,timer},*Caddyfile,install,p{ost,re}{inst,rm}}';
  for (const folder of folders) {
    for (const path of [...new Bun.Glob(`${folder}/${pattern}`).scanSync(ROOT)].sort()) {
      const source = await Bun.file(join(ROOT, path)).text();
      for (const { line, text } of (/\.tsx?$/.test(path) ? textsIn : linesIn)(source)) {
        console.log(`${path}:${line}: ${text.replaceAll(/\s*\n\s*/g, ' ⏎ ')}`);
      }
    }
  }
}
