import { useEffect, useState } from 'preact/hooks';
import { describeFailure, post } from './api.ts';
import { words } from './words.ts';

/** What is looked for. */
export interface Wanted {
  readonly day: string;
  readonly token: string;
  readonly status: string;
  readonly text: string;
}

/** Typing is waited for. */
const TYPING_MS = 300;

/** What the agent is asked. A day is one of the reader's. */
export function questionOf({ day, token, text }: Wanted): Readonly<Record<string, unknown>> {
  const from = day === '' ? Number.NaN : new Date(`${day}T00:00:00`).getTime();
  // A day may have 23 or 25 hours.
  const next = new Date(from);
  next.setDate(next.getDate() + 1);
  return {
    ...(Number.isFinite(from) && from >= 0 && { from, to: next.getTime() }),
    ...(token !== '' && { token }),
    ...(text.trim() !== '' && { text: text.trim() }),
  };
}

/** Answers to one question, page by page: the newest question counts, and typing is waited for. */
export function usePages<Page extends { readonly next: unknown }>(name: string, question: object) {
  const [pages, setPages] = useState<readonly Page[]>([]);
  const [isBusy, setBusy] = useState(true);
  const [fault, setFault] = useState<string>();
  const asked = JSON.stringify(question);
  const load = async (before: unknown, signal?: AbortSignal): Promise<void> => {
    setBusy(true);
    try {
      const page = await post<Page>(name, { ...question, ...(before !== undefined && { before }) }, signal);
      if (signal?.aborted) return;
      setPages((old) => (before === undefined ? [page] : [...old, page]));
      setFault(undefined);
    } catch (error) {
      if (!signal?.aborted) setFault(describeFailure(error));
    }
    if (!signal?.aborted) setBusy(false);
  };
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => void load(undefined, stop.signal), pages.length === 0 ? 0 : TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [name, asked]);
  const next = pages.at(-1)?.next ?? null;
  return { pages, isBusy, fault, more: next === null ? undefined : () => void load(next) };
}

interface OlderProps {
  readonly isBusy: boolean;
  readonly more: (() => void) | undefined;
}

/** The way to the next page. */
export function Older({ isBusy, more }: OlderProps) {
  if (more === undefined) return null;
  return (
    <button type="button" class="wide" disabled={isBusy} onClick={more}>
      {isBusy ? words.loading : words.past.older}
    </button>
  );
}
