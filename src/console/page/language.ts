import { recall } from './storage.ts';

/** The languages of the page, each by its own name. */
export const LANGUAGES = { en: 'English', es: 'Español' } as const;
export type Language = keyof typeof LANGUAGES;

/** Where the storage of the page has what was chosen. */
export const CHOSEN = 'agent3-language';
/** Where the page's worker finds it: it has no other storage that the page shares. */
export const [LANGUAGE_CACHE, LANGUAGE_PLACE] = ['agent3', '/language'] as const;

/** A language that there is. */
export function asLanguage(text: string | undefined): Language | undefined {
  return text !== undefined && Object.hasOwn(LANGUAGES, text) ? (text as Language) : undefined;
}

function browserLocales(): readonly string[] {
  return typeof navigator === 'undefined' ? [] : (navigator.languages ?? []);
}

/** What was chosen on this device, else the first language of the browser that there is, else English. */
function languageHere(): Language {
  const wanted = [recall(CHOSEN), ...browserLocales().map((one) => one.split('-')[0])];
  return wanted.map(asLanguage).find((one) => one !== undefined) ?? 'en';
}

export const language: Language = languageHere();

/** How dates and numbers are written: as in the browser's own country, where that has the language. */
export const locale: string = browserLocales().find((one) => one.split('-')[0] === language) ?? language;
