import { InvalidArgumentError } from '@commander-js/extra-typings';

/** A parser of an option's value: a number in a form and a range; `rule` tells them where a value has others. */
export function numberOption(form: RegExp, least: number, most: number, rule: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (form.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(rule);
  };
}
