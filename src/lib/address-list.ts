import { BlockList, isIP } from 'node:net';

/** IP addresses and networks, to ask whether an address is among them. */
export class AddressList {
  readonly #list = new BlockList();
  #isEmpty = true;

  /** Reads addresses and networks (`10.0.0.0/8`, `::1`) separated by commas; gives a sentence for each that is none. */
  static parse(text: string): { readonly list: AddressList; readonly faults: readonly string[] } {
    const list = new AddressList();
    const wrong = entriesOf(text).filter((entry) => !list.#add(entry));
    const faults = wrong.map(
      (entry) => `${JSON.stringify(entry.slice(0, 60))} is no IP address and no network such as 10.0.0.0/8`,
    );
    return { list, faults };
  }

  /** Whether `address` is one of these. An IPv4 address within IPv6 (`::ffff:10.0.0.1`) counts as what it is. */
  has(address: string): boolean {
    if (this.#isEmpty) return false;
    const family = familyOf(address);
    return family !== undefined && this.#list.check(address, family);
  }

  #add(entry: string): boolean {
    const [address = '', bits, ...rest] = entry.split('/');
    const family = familyOf(address);
    if (family === undefined || rest.length > 0) return false;
    this.#isEmpty = false;
    if (bits === undefined) {
      this.#list.addAddress(address, family);
      return true;
    }
    if (!/^\d{1,3}$/.test(bits) || Number(bits) > (family === 'ipv4' ? 32 : 128)) return false;
    this.#list.addSubnet(address, Number(bits), family);
    return true;
  }
}

/**
 * What is wrong with addresses and networks that somebody types now; undefined: nothing. Stricter than
 * `AddressList.parse`, by which settings and tokens go that were there before: who writes 10.0.0.5/8 may want one address
 * or 16 million, and only a person can be asked which.
 */
export function networkFault(text: string): string | undefined {
  const [fault] = AddressList.parse(text).faults;
  if (fault !== undefined) return fault;
  return entriesOf(text)
    .map(hostBitsFault)
    .find((found) => found !== undefined);
}

function hostBitsFault(entry: string): string | undefined {
  const [address = '', bits] = entry.split('/');
  if (bits === undefined) return undefined;
  const parts = partsOf(address);
  const width = parts.length < GROUPS ? 8 : 16;
  const network = parts.map((part, at) => firstBits(part, width, Number(bits) - at * width));
  if (network.every((part, at) => part === parts[at])) return undefined;
  return `${JSON.stringify(entry)} is an address within a network: write ${addressText(network)}/${bits}, or ${address} for that one address`;
}

function entriesOf(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** The four bytes of an IPv4 address, or the eight groups of 16 bits of an IPv6 one; its zone is none of them. */
function partsOf(address: string): number[] {
  if (familyOf(address) === 'ipv4') return address.split('.').map(Number);
  const [before = '', after] = shortest(address.replace(/%.*/, '')).split('::');
  const [left, right] = [groupsOf(before), groupsOf(after ?? '')];
  const zeros = Array.from({ length: GROUPS - left.length - right.length }, () => 0);
  return [...left, ...zeros, ...right];
}

const GROUPS = 8;

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

function addressText(parts: readonly number[]): string {
  if (parts.length < GROUPS) return parts.join('.');
  return shortest(parts.map((part) => part.toString(16)).join(':'));
}

/** An IPv6 address as RFC 5952 has it, and without dots: as it stands in a URL. */
function shortest(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

/** The part of `value`, of `width` bits, that is among the first `bits` of an address. */
function firstBits(value: number, width: number, bits: number): number {
  const rest = width - Math.min(Math.max(bits, 0), width);
  return (value >> rest) << rest;
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : undefined;
}
