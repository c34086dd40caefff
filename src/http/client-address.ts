import type { AddressList } from '../core/address-list.ts';

/** Longest X-Forwarded-For that is read: proxies append to what the client sends. */
const MAX_HEADER_CHARS = 2000;

/**
 * Who sent a request: the peer itself, or, when that is a trusted proxy, the last address in X-Forwarded-For that is
 * not one. What stands before it was written by the client and proves nothing.
 */
export function clientAddress(peer: string, headers: Headers, trusted: AddressList): string {
  if (!trusted.has(peer)) return peer;
  const forwarded = (headers.get('x-forwarded-for') ?? '').slice(-MAX_HEADER_CHARS).split(',');
  let address = peer;
  for (const hop of forwarded.reverse()) {
    const next = hop.trim();
    if (!/^[0-9a-fA-F:.]{2,45}$/.test(next)) return address;
    address = next;
    if (!trusted.has(next)) return address;
  }
  return address;
}
