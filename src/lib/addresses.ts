import { isIP, isIPv6 } from 'node:net';
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js';

type Address = IPv4 | IPv6;

/** A list of IP addresses and networks that an address can be looked up in. */
export class AddressList {
  readonly #networks: (readonly [network: IPv6, bits: number])[] = [];

  /**
   * Parses addresses and networks (`10.0.0.0/8`, `::1`) separated by commas; `faults` has a sentence for each invalid
   * one.
   */
  static parse(text: string): { readonly list: AddressList; readonly faults: readonly string[] } {
    const list = new AddressList();
    const wrong = entriesOf(text).filter((entry) => !list.#add(entry));
    const faults = wrong.map(
      (entry) => `${JSON.stringify(entry.slice(0, 60))} is not an IP address or a network such as 10.0.0.0/8`,
    );
    return { list, faults };
  }

  /** Whether `address` is one of these. An IPv4 address within IPv6 (`::ffff:10.0.0.1`) counts as IPv4. */
  has(address: string): boolean {
    if (this.#networks.length === 0) return false;
    const parsed = parseAddress(address);
    return parsed !== undefined && this.#networks.some(([network, bits]) => wide(parsed).match(network, bits));
  }

  #add(entry: string): boolean {
    const [address = '', bits, ...rest] = entry.split('/');
    const parsed = parseAddress(address);
    if (parsed === undefined || rest.length > 0) return false;
    const width = parsed.kind() === 'ipv4' ? 32 : ALL_BITS;
    if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > width)) return false;
    this.#networks.push([wide(parsed), ALL_BITS - width + Number(bits ?? width)]);
    return true;
  }
}

/**
 * Returns what is wrong with addresses and networks that a person enters now, or undefined. Stricter than
 * `AddressList.parse`, which reads older settings and tokens: 10.0.0.5/8 may mean one address or 16 million, and only a
 * person can be asked.
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
  const given = parseAddress(address);
  if (bits === undefined || given === undefined) return undefined;
  const network = networkAround(given, Number(bits));
  if (network === given.toString()) return undefined;
  return `${JSON.stringify(entry)} is an address within a network: write ${network}/${bits}, or ${address} for that one address`;
}

/** Returns the first address of the network of `bits` bits that `address` is in, in the form of RFC 5952. */
function networkAround(address: Address, bits: number): string {
  const { IPv4, IPv6 } = ipaddr;
  return String((address.kind() === 'ipv4' ? IPv4 : IPv6).networkAddressFromCIDR(`${address}/${bits}`));
}

function entriesOf(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/**
 * Parses an IP address without its zone; undefined for anything else. Stricter than the library, which accepts `127.1`
 * and, as an IPv4 address, the deprecated `::127.0.0.1` (RFC 4291, section 2.5.5.1), which is another machine.
 */
function parseAddress(address: string): Address | undefined {
  if (isIP(address) === 0) return undefined;
  return ipaddr.parse(address.replace(/%.*/, '').replace(/^::(?=\d+\.)/, '::0:'));
}

/** Formats an address of 4 or 16 bytes for a URL: IPv6 in brackets, IPv4 within IPv6 as IPv4. */
export function formatAddress(bytes: readonly number[]): string {
  const address = ipaddr.process(ipaddr.fromByteArray([...bytes]).toString());
  return address.kind() === 'ipv6' ? `[${address}]` : address.toString();
}

const ALL_BITS = 128;

/** Returns an address as IPv6, which includes IPv4 (RFC 4291, section 2.5.5.2). */
function wide(address: Address): IPv6 {
  return address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : (address as IPv6);
}

/** Longest X-Forwarded-For that is read: proxies append to what the client sends. */
const MAX_HEADER_CHARS = 2000;

/**
 * Returns the address of a client: the peer itself or, if that is a trusted proxy, the last address in X-Forwarded-For
 * that is not one. Addresses before it come from the client and prove nothing. A hop without an address ends the search
 * at the proxy that named it.
 */
export function clientAddress(peer: string, headers: Headers, trusted: AddressList): string {
  if (!trusted.has(peer)) return peer;
  const forwarded = (headers.get('x-forwarded-for') ?? '').slice(-MAX_HEADER_CHARS).split(',');
  let address = peer;
  for (const hop of forwarded.reverse()) {
    const next = addressIn(hop.trim());
    if (next === undefined) return address;
    address = next;
    if (!trusted.has(next)) return address;
  }
  return address;
}

/**
 * Returns the address in a hop: alone, in brackets, or with a port (`9.9.9.9:443`, `[2001:db8::7]:443`); or undefined.
 */
function addressIn(hop: string): string | undefined {
  const [, v6] = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(hop) ?? [];
  if (v6 !== undefined) return isIPv6(v6) ? withoutZone(v6) : undefined;
  const [, v4] = /^([\d.]+):\d{1,5}$/.exec(hop) ?? [];
  const address = v4 ?? hop;
  return isIP(address) === 0 ? undefined : withoutZone(address);
}

/** The interface of a link-local address (RFC 4007) means nothing on another machine. */
function withoutZone(address: string): string {
  return address.replace(/%.*/, '');
}

/** Providers assign each customer a network of this many bits (RFC 6177), in which addresses cost nothing. */
const CUSTOMER_BITS = 64;

/** Returns the network of one client: an IPv4 address, or the /64 of an IPv6 one. Other text is returned as it is. */
export function networkOf(address: string): string {
  const parsed = isIPv6(address) ? parseAddress(address) : undefined;
  if (parsed === undefined) return address;
  // A socket that listens on both shows IPv4 within IPv6 (RFC 4291, section 2.5.5.2).
  const plain = ipaddr.process(parsed.toString());
  return plain.kind() === 'ipv4' ? plain.toString() : `${networkAround(plain, CUSTOMER_BITS)}/${CUSTOMER_BITS}`;
}

/** Whether an address is on the open internet: not of a private network, a machine itself, or special use. */
export function isPublicAddress(address: string): boolean {
  const parsed = parseAddress(address);
  if (parsed === undefined) return false;
  const plain = ipaddr.process(parsed.toString());
  // All of IPv6 that is assigned (RFC 4291, section 2.4).
  const isGivenOut = plain.kind() === 'ipv4' || (plain as IPv6).match(ipaddr.IPv6.parse('2000::'), 3);
  return isGivenOut && plain.range() === 'unicast';
}

/**
 * Returns the origin of a URL in the one spelling that programs compare: for `https://X.Example:443/`,
 * `https://x.example`. Other text stays as it is.
 */
export function plainOrigin(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}
