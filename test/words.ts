/**
 * How documents, comments and messages are written: what `test/tidy.test.ts` checks. In documents, tables, code, headings
 * and the addresses of links do not count.
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

/** Further phrases to avoid in comments and messages. */
const AVOIDED_IN_SOURCE = [
  'are none',
  'gives(?! up| an AI model)',
  'stands',
  'stand for',
  'go on',
  'patience',
] as const;

/** The first words of the summaries of commands: imperative verbs. */
export const FIRST_WORDS: readonly string[] = [
  ...['Approve', 'Check', 'Connect', 'Copy', 'Create', 'Deny', 'End', 'Explain', 'Find', 'Install', 'Invite', 'Join'],
  ...['Leave', 'Link', 'List', 'Make', 'Manage', 'Obey', 'Pause', 'Print', 'Remove', 'Replace', 'Restart', 'Resume'],
  ...['Run', 'Search', 'Send', 'Serve', 'Set', 'Show', 'Stop', 'Try'],
];

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

/** The phrases to avoid in a source file, each with what is around it. Quoted or hyphenated words are names of a format. */
export function phrasesInSource(source: string): string[] {
  const text = source.replaceAll(/\n\s*(?:\*(?!\/)|\/\/|#)?\s*/g, ' ');
  const phrases = [...AVOIDED, ...AVOIDED_IN_SOURCE].join('|');
  const found = new RegExp(`(?<!['"\`\\w-])(?:${phrases})(?!['"\`\\w-])`, 'gi');
  return [...text.matchAll(found)].map(
    ({ index, 0: phrase }) => `"${phrase}": ${text.slice(Math.max(0, index - 40), index + 40)}`,
  );
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
