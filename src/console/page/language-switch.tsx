import { CHOSEN, LANGUAGE_CACHE, LANGUAGE_PLACE, LANGUAGES, type Language, language } from './language.ts';
import { remember } from './storage.ts';

/** Leads to each other language, by its own name. */
export function LanguageSwitch() {
  const others = (Object.keys(LANGUAGES) as Language[]).filter((one) => one !== language);
  return (
    <>
      {others.map((one) => (
        <button key={one} type="button" class="quiet" lang={one} onClick={() => void choose(one)}>
          {LANGUAGES[one]}
        </button>
      ))}
    </>
  );
}

/** Shows the page in a language from now on, on this device, and what its worker notifies of. */
async function choose(chosen: Language): Promise<void> {
  remember(CHOSEN, chosen);
  try {
    await (await caches.open(LANGUAGE_CACHE)).put(LANGUAGE_PLACE, new Response(chosen));
  } catch {
    // A browser that keeps nothing for workers: notifications are in the language of the browser.
  }
  location.reload();
}
