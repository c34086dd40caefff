import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { isInKey, Masker } from '../../src/calls/masking.ts';
import { decodeUtf8, jsonChars } from '../../src/lib/utf8.ts';
import { plainText } from '../../src/lib/visible.ts';
import { maskSecrets } from '../../src/secrets/secrets.ts';
import { sourceOf } from '../helpers/bytes.ts';

const KNOWN = { values: ['a-known-value', 'ein-schlüssel'] };
const same = (text: string): string => text;
const sourceOfText = (text: string) => sourceOf(Buffer.from(text));

describe('a part of a stream', () => {
  const key = `-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n${'QUJDREVG\n'.repeat(3000)}-----END PGP PRIVATE KEY BLOCK-----\n`;
  const stream = sourceOfText(`before\n${key}after: all is well\n`);
  const part = (start: number, length: number): Promise<string> =>
    new Masker(KNOWN).maskPart(decodeUtf8(stream.read(start, length)), stream, start, start + length, same);

  test('in the middle of a private key shows nothing of it, however far back it begins', async () => {
    for (const start of [20, 60, 4000, 9000, 13_000, 20_000, 26_000])
      expect(await part(start, 500)).toBe('‹private key›');
    expect(await part(stream.size - 19, 100)).toBe('after: all is well\n');
    expect(await part(0, 7)).toBe('before\n');
  });

  test('in the middle of a private key shows nothing of it as bytes either', async () => {
    for (const start of [60, 13_000, 26_000]) {
      const masked = await new Masker(KNOWN).maskBytes(stream.read(start, 500), stream, start);
      expect(decodeUtf8(masked)).toBe('‹private key›');
    }
  });

  test('keeps the bytes around a secret as they are', async () => {
    const bytes = Buffer.concat([
      Buffer.from([0xff, 0xc3]),
      Buffer.from('😀 password=hünter22😀 x'),
      Buffer.from([0xe2]),
    ]);
    const source = sourceOf(bytes);
    const masked = Buffer.from(await new Masker(KNOWN).maskBytes(bytes, source, 0));
    const expected = [Buffer.from([0xff, 0xc3]), Buffer.from('😀 password=‹password› x'), Buffer.from([0xe2])];
    expect(masked).toEqual(Buffer.concat(expected));
  });

  test('lies in a key when the nearest mark says so', () => {
    const [begin, end] = ['-----BEGIN RSA PRIVATE KEY-----', '-----END RSA PRIVATE KEY-----'];
    const at = (text: string) => isInKey(sourceOfText(text.replace('|', '')), text.indexOf('|'));
    expect(at(`${begin}\nabc|`)).toBe(true);
    expect(at(`${begin}\nabc\n${end}|`)).toBe(false);
    expect(at(`abc|\n${end}`)).toBe(true);
    expect(at(`abc|\n${begin}`)).toBe(false);
    expect(at(`${begin}${'\n'.repeat(70_000)}|`)).toBe(false);
    expect(at('PRIVATE KEY|')).toBe(false);
    expect(at('|')).toBe(false);
  });
});

test('lines are masked with their surroundings', async () => {
  const text = 'x\n-----BEGIN PRIVATE KEY-----\nQUJD\n\nREVG\n-----END PRIVATE KEY-----\npassword:\n  hunter22\ny\n';
  const lines = (from: string, to: string): Promise<string[]> => {
    const [start, end] = [text.indexOf(from), text.indexOf(to)];
    const texts = text.slice(start, end).split('\n').slice(0, -1);
    return new Masker(KNOWN).maskLines({ texts, start, end, arePart: false }, sourceOfText(text), same);
  };
  expect(await lines('QUJD', '\nREVG')).toEqual(['‹private key›']);
  expect(await lines('x\n', '-----END')).toEqual(['x', '‹private key›', '‹private key›', '', '‹private key›']);
  expect(await lines('  hunter22', 'y\n')).toEqual(['  ‹password›']);
});

describe('a long text', () => {
  const filler = (length: number): string => 'all is well here. '.repeat(Math.ceil(length / 18)).slice(0, length);
  const secrets = [
    'password=hunter22-and-more',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
    `token: ${'x'.repeat(3000)}`,
    `-----BEGIN PRIVATE KEY-----\n${'QUJDREVG\n'.repeat(5000)}-----END PRIVATE KEY-----`,
    '-----END PRIVATE KEY-----',
    '😀 a-known-value 😀',
  ];

  test.each(secrets.map((secret) => [secret.slice(0, 30), secret]))(
    'with %s is masked as a short one, wherever it is',
    async (_name, secret) => {
      // Around the edges of the windows that it is looked at in.
      for (const at of [16_384, 32_768].flatMap((edge) => [-3000, -50, -20, -5, -1, 0, 1, 5].map((by) => edge + by))) {
        const text = `${filler(at)} ${secret} ${filler(40_000)}`;
        expect(await new Masker(KNOWN).mask(text)).toBe(maskSecrets(text, KNOWN));
      }
    },
  );

  test('waits for its turn before each piece', async () => {
    let turns = 0;
    const masker = new Masker(KNOWN, async () => void turns++);
    await masker.mask(filler(2000));
    expect(turns).toBe(0);
    await masker.mask(filler(98_304));
    expect(turns).toBe(6);
  });
});

describe('a mark', () => {
  const text = 'pwd=abc pwd=abc pwd=a-long-password-it-is pwd=abc';

  test('names the kind as long as there is room, else nothing', async () => {
    const masked = (spare: number): Promise<string> => {
      const masker = new Masker(KNOWN);
      masker.allow(spare);
      return masker.mask(text);
    };
    expect(await masked(100)).toBe('pwd=‹password› pwd=‹password› pwd=‹password› pwd=‹password›');
    expect(await masked(8)).toBe('pwd=‹password› pwd=*** pwd=‹password› pwd=‹password›');
    expect(await masked(0)).toBe('pwd=*** pwd=*** pwd=‹password› pwd=‹password›');
  });

  const pieces = fc.constantFrom(
    'pwd=abc',
    'password=hünter22',
    'token: xyz',
    'a-known-value',
    'ein-schlüssel',
    'AKIAIOSFODNN7EXAMPLE',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
    `pwd=${'😀'.repeat(150)}`,
    'x://a:bcd@e',
    '-----BEGIN PRIVATE KEY-----',
    '-----END PRIVATE KEY-----',
    '\u001b[1m',
    '\n',
    ' ',
    '"',
    '😀',
  );
  const streams = fc.array(fc.oneof(pieces, pieces, fc.string()), { maxLength: 30 }).map((some) => some.join(' '));

  test('never makes an answer longer than its room, whatever is cut where', async () => {
    await fc.assert(
      fc.asyncProperty(
        streams,
        fc.nat(),
        fc.nat(600),
        fc.nat(60),
        fc.boolean(),
        async (all, from, length, spare, isPlain) => {
          const bytes = Buffer.from(all);
          const source = sourceOf(bytes);
          const start = from % (bytes.length + 1);
          const end = Math.min(bytes.length, start + length);
          const piece = source.read(start, end - start);
          const show = isPlain ? plainText : same;

          const masker = new Masker(KNOWN);
          masker.allow(spare);
          const text = show(decodeUtf8(piece));
          const rest = show(decodeUtf8(source.read(end, 600)));
          const masked = [
            await masker.maskPart(text, source, start, end, show),
            await masker.maskPart(rest, source, end, Math.min(bytes.length, end + 600), show),
          ];
          expect(jsonChars(masked.join(''))).toBeLessThanOrEqual(jsonChars(text) + jsonChars(rest) + spare);

          const other = new Masker(KNOWN);
          other.allow(spare);
          const encoded = Buffer.from(await other.maskBytes(piece, source, start)).toString('base64');
          expect(encoded.length).toBeLessThanOrEqual(Buffer.from(piece).toString('base64').length + spare);
        },
      ),
    );
  });
});
