import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { networkAround, parseAddress } from '../lib/address-list.ts';

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
