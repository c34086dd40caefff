/**
 * How the documents are written: what `test/tidy.test.ts` measures in their prose. Tables, code, headings and the
 * addresses of links do not count.
 */

/** Most characters of a line of prose, and words of a sentence. */
export const MAX_LINE = 200;
export const MAX_WORDS = 30;

/** Phrases that a reader has to read twice, from the list of the house. */
const AVOIDED = [
  'to be had',
  'anew',
  'whoever',
  'so long as',
  'is none',
  'tells',
  'goes on',
  'beside',
  'have it not',
  'nothing to get by',
  'and be there',
  'ceiling',
  'confinement',
] as const;

/** What is wrong in the prose of a document, a line each: long lines, long sentences, phrases to avoid. */
export function describeFaults(markdown: string): string[] {
  const lines = proseOf(markdown);
  const paragraphs = lines.join('\n').split(/\n\s*\n|\n(?=\s*(?:- |\d+\. ))/);
  return [
    ...lines.filter((line) => line.length > MAX_LINE).map((line) => `${line.length} characters: ${line}`),
    ...paragraphs.flatMap(sentencesOf).flatMap((sentence) => {
      const words = sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
      return words > MAX_WORDS ? [`${words} words: ${sentence}`] : [];
    }),
    ...lines.flatMap((line) => phrasesIn(line).map((phrase) => `"${phrase}": ${line}`)),
  ];
}

/** The phrases to avoid that a text has. */
export function phrasesIn(text: string): string[] {
  const plain = text.toLowerCase();
  return AVOIDED.filter((phrase) => new RegExp(`\\b${phrase}\\b`).test(plain));
}

/** Lines of prose, with code, or a list of it, as one word. */
function proseOf(markdown: string): string[] {
  return markdown
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .split('\n')
    .filter((line) => !/^(?:\||#|<img|\s+<img|---)/.test(line))
    .map((line) => line.replaceAll(/\]\([^)]*\)/g, ']').replaceAll(/`[^`]*`(?:, `[^`]*`)*/g, 'code'));
}

function sentencesOf(paragraph: string): string[] {
  return paragraph.replaceAll('\n', ' ').split(/(?<=[.!?][)*"]*)\s+/);
}
