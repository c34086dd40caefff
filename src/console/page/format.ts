import { visibleText } from '../../lib/visible.ts';
import { locale } from './language.ts';
import { words } from './words.ts';

/** A time span as people say it: the two largest units at most. */
export function describeSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return words.time.seconds(seconds);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return words.time.minutes(minutes);
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? words.time.hours(hours, minutes % 60) : words.time.days(Math.floor(hours / 24));
}

/** The same for what may be over within a second. */
export function describeDuration(ms: number): string {
  return ms < 1000 ? words.time.milliseconds(Math.round(ms)) : describeSpan(ms);
}

export function describeBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  const digits = value < 10 ? 1 : 0;
  const text = value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${text} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`;
}

/** A moment in the time zone of the reader. */
export function describeMoment(ms: number): string {
  return new Date(ms).toLocaleString(locale, {
    ...{ year: 'numeric', month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' },
    timeZoneName: 'short',
  });
}

/** A text that others wrote, as a sentence. */
export function sentence(text: string): string {
  const end = text === '' || /[.!?…]$/.test(text) ? '' : '.';
  return text.slice(0, 1).toUpperCase() + text.slice(1) + end;
}

/** Returns a command on one line, with a sign between its lines. */
export function commandLine(cmd: string): string {
  return visibleText(cmd).replaceAll('\n', ' ⏎ ');
}
