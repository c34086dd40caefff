import { Type } from '@sinclair/typebox';
import { InvalidArguments } from '../lib/errors.ts';

/** The fields of an answer while a person has to approve the call. */
export const waitingFields = {
  status: Type.Optional(Type.String({ description: 'waiting: a person has to approve it.' })),
  session: Type.Optional(Type.String({ description: 'While it waits: follow it with read_session.' })),
  reason: Type.Optional(Type.String({ description: 'While it waits: why.' })),
} as const;

/** The fields of the answer to every change of a file. */
export const changeFields = {
  size: Type.Optional(Type.Integer({ description: 'Size of the file, in bytes.' })),
  sha256: Type.Optional(Type.String({ description: 'Of the file.' })),
  change: Type.Optional(Type.String({ description: 'For undo.' })),
  ...waitingFields,
  message: Type.Optional(Type.String({ description: 'Notes on the change.' })),
} as const;

/** Parses a mode in octal digits; undefined stays undefined. Throws `InvalidArguments`. */
export function modeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  if (/^[0-7]{4}$/.test(text))
    throw new InvalidArguments(
      `mode ${text} sets bits that make a program run as another user. Send three digits, such as 755. Nothing was done.`,
    );
  throw new InvalidArguments(`mode must be three octal digits, such as 644, not ${JSON.stringify(text.slice(0, 20))}.`);
}
