/** The characters that control a terminal and are no part of a text; tab and line feed stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const CONTROLS = /[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]/g;

/**
 * What a person reads on a terminal that was sent `text`: without escape sequences, of a line that was written over
 * with carriage returns (a progress bar) only what it showed last, what was erased by backspaces left out.
 */
export function plainText(text: string): string {
  const lines = Bun.stripANSI(text).replaceAll('\r\n', '\n').split('\n');
  return lines.map(lastShown).join('\n').replace(CONTROLS, '');
}

/** Each carriage return goes back to the beginning of the line, each backspace one character. */
function lastShown(line: string): string {
  let end = line.length;
  // Not by /\r+$/, which takes the square of the returns that stand before something else.
  while (line[end - 1] === '\r') end--;
  const shown = end === 0 ? '' : line.slice(line.lastIndexOf('\r', end - 1) + 1, end);
  if (!shown.includes('\b')) return shown;
  const characters: string[] = [];
  for (const character of shown) {
    if (character === '\b') characters.pop();
    else characters.push(character);
  }
  return characters.join('');
}

/**
 * The beginning of an escape sequence (ECMA-48: control sequences, commands to the operating system). Not with bytes
 * that are no text: how many those were, the text does not tell.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about.
const OPEN_SEQUENCE = /\x1b(?:\[[0-9;:?<=>]{0,40}|\][^\x07\x1b\ufffd]{0,400}|[()])?$/;

/** How many characters at the end of `text` are an escape sequence that goes on behind it. */
export function openSequenceLength(text: string): number {
  return OPEN_SEQUENCE.exec(text)?.[0].length ?? 0;
}
