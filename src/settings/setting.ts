import { type TSchema, Type } from '@sinclair/typebox';

/** `Config` has it absolute. PATH_MAX of Linux is 4096; what the agent appends must fit. */
export const PATH_OPTIONS = { minLength: 1, maxLength: 3000, isPath: true } as const;
export const PATH = Type.String(PATH_OPTIONS);
export const URL_WITH_PATH = Type.String({ pattern: '^https?://[^\\s]+$', maxLength: 2000 });
export const URL_OF_HOST = Type.String({ pattern: '^https?://[^\\s/?#]+/?$', maxLength: 300 });

/** A secret of at least so many printable ASCII characters. */
export function secretText(minLength: number) {
  return Type.String({ minLength, maxLength: 512, pattern: '^[\\x21-\\x7e]*$' });
}

/** One row of the table of settings. */
export interface Setting {
  readonly key: string;
  readonly schema: TSchema;
  /** What it is for, as Markdown, for `--help`, the example and the documents. */
  readonly about: string;
  /** What holds where nothing is set and the schema has no default, as Markdown. */
  readonly otherwise?: string;
  /** Never shown: erased from the environment, masked in records, notifications and reports. */
  readonly isSecret?: true;
  /** What the unit of the service sets it to. */
  readonly service?: string;
  /** The value in the example, where that is not the default. */
  readonly example?: string;
  /** The line of the example takes effect, because the installer fills it in. */
  readonly isInstalled?: true;
}
