/**
 * How a value goes with what tells that it is secret, which is what a shell makes of it: the end of a word
 * (`-phunter2`), what follows a sign (`NAME=value`, `name: value`), the word behind an option (`--password value`), or
 * an argument of a certain program (`zip -P value`).
 */
export type Bond = 'end' | 'sign' | 'option' | 'argument';

/** A value that was found beside its name. */
export interface NamedValue {
  readonly kind: string;
  readonly bond: Bond;
  /** A quote before the name is that of the value as well: `'Authorization: Bearer x'`. */
  readonly isHeader?: true;
  /** Where its name begins, or the program it is given to. */
  readonly at: number;
  /** From there to the value. */
  readonly before: string;
  /** The quote that it begins with, as it is written; empty where there is none. */
  readonly open: string;
  /** It stands in the column behind that of its name. */
  readonly isColumn?: boolean;
  /** Where it is, up to a blank or a quote. */
  readonly start: number;
  readonly end: number;
}
