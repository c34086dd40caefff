import { type TSchema, Type } from '@sinclair/typebox';
import { ANY_URL, HOST_URL } from '../lib/limits.ts';

/** A path, absolute in `Config`. PATH_MAX of Linux is 4096, with room for what the agent appends. */
export const PATH_OPTIONS = { minLength: 1, maxLength: 3000, isPath: true } as const;
export const PATH = Type.String(PATH_OPTIONS);
export const URL_WITH_PATH = Type.String({ pattern: ANY_URL, maxLength: 2000 });
export const URL_OF_HOST = Type.String({ pattern: HOST_URL, maxLength: 300 });

/** Schema of a secret with at least this many printable ASCII characters. */
export function secretText(minLength: number) {
  return Type.String({ minLength, maxLength: 512, pattern: '^[\\x21-\\x7e]*$' });
}

/** One row of the table of settings. */
export interface Setting {
  readonly key: string;
  readonly schema: TSchema;
  /** Description as Markdown, for `--help`, the example and the documents. */
  readonly about: string;
  /** Default as Markdown, when the schema has none. */
  readonly otherwise?: string;
  /** Never shown: erased from the environment, masked in records, notifications and reports. */
  readonly isSecret?: true;
  /** The value in the unit of the service. */
  readonly service?: string;
  /** The value in the example, when that is not the default. */
  readonly example?: string;
  /** The line of the example is not a comment, because the installer fills it in. */
  readonly isInstalled?: true;
}
