import { InvalidArgumentError } from '@commander-js/extra-typings';

/** Returns a parser for an option: a number that matches `form` and is in the range. `rule` is the text of its error. */
export function numberOption(form: RegExp, least: number, most: number, rule: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (form.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(rule);
  };
}
