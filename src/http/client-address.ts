import { isIP, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type AddressList, networkAround, parseAddress } from '../lib/address-list.ts';

/** Longest X-Forwarded-For that is read: proxies append to what the client sends. */
const MAX_HEADER_CHARS = 2000;

/**
 * Who sent a request: the peer itself, or, when that is a trusted proxy, the last address in X-Forwarded-For that is
 * not one. What stands before it was written by the client and proves nothing. A hop that is no address ends the search
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

/** The address in a hop: alone, in brackets, or with a port (`9.9.9.9:443`, `[2001:db8::7]:443`); undefined: there is none. */
function addressIn(hop: string): string | undefined {
  const [, v6] = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(hop) ?? [];
  if (v6 !== undefined) return isIPv6(v6) ? withoutZone(v6) : undefined;
  const [, v4] = /^([\d.]+):\d{1,5}$/.exec(hop) ?? [];
  const address = v4 ?? hop;
  return isIP(address) === 0 ? undefined : withoutZone(address);
}

/** The interface of a link-local address (RFC 4007) says nothing on another machine. */
function withoutZone(address: string): string {
  return address.replace(/%.*/, '');
}

/** A provider gives each customer a network of this many bits (RFC 6177), in which an address costs nothing. */
const CUSTOMER_BITS = 64;

/** What one client has: an IPv4 address, or the /64 of an IPv6 one. What is no address is given back as it is. */
export function networkOf(address: string): string {
  const parsed = isIPv6(address) ? parseAddress(address) : undefined;
  if (parsed === undefined) return address;
  // IPv4 within IPv6 (RFC 4291, section 2.5.5.2) is what a socket that listens on both shows.
  const plain = ipaddr.process(parsed.toString());
  return plain.kind() === 'ipv4' ? plain.toString() : `${networkAround(plain, CUSTOMER_BITS)}/${CUSTOMER_BITS}`;
}
