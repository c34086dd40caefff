/** Of a line's MAC, 22 characters of Base64url: 128 bits. */
const MAC_BYTES = 16;
const END = /,"mac":"([\w-]{22})"\}$/;
/** `,"mac":"…"}`. */
const END_BYTES = 32;

/** What a look at a line's MAC gave. */
export type SealState = 'none' | 'right' | 'wrong' | 'unknown';

/** Seals lines with a key, and tells whether they were; without one, lines stay as they are, and nothing is known. */
export class Seal {
  constructor(private readonly key: string | undefined) {}

  get hasKey(): boolean {
    return this.key !== undefined;
  }

  /** A line of JSON with its MAC as the last field. */
  line(json: string): string {
    if (this.key === undefined) return json;
    return `${json.slice(0, -1)},"mac":"${macOf(this.key, json)}"}`;
  }

  /** Whether the line with these bytes was sealed with the key; `unknown`: it was sealed, and there is no key. */
  check(line: Uint8Array): SealState {
    const end = Buffer.from(line.subarray(-END_BYTES)).toString('latin1');
    const mac = END.exec(end)?.[1];
    if (mac === undefined) return 'none';
    if (this.key === undefined) return 'unknown';
    const hasher = new Bun.CryptoHasher('sha256', this.key).update(line.subarray(0, -END_BYTES)).update('}');
    return shorten(hasher) === mac ? 'right' : 'wrong';
  }

  /** The MAC of a text that is no line; undefined without a key. */
  of(text: string): string | undefined {
    return this.key === undefined ? undefined : macOf(this.key, text);
  }
}

function macOf(key: string, text: string): string {
  return shorten(new Bun.CryptoHasher('sha256', key).update(text));
}

function shorten(hasher: Bun.CryptoHasher): string {
  return hasher.digest().subarray(0, MAC_BYTES).toString('base64url');
}
