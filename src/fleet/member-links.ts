import type { Freeze } from '../access/freeze.ts';
import { Download } from '../files/download.ts';
import type { Transfers } from '../files/transfers.ts';
import { Upload } from '../files/upload.ts';
import { InvalidArguments } from '../lib/errors.ts';
import type { Turns } from '../lib/shares.ts';
import { PIECE_BYTES, readTransferArgs } from './pieces.ts';

/** Who has opened a link at the hub: the token that the link was made for, and the address of the client. */
interface Visitor {
  readonly principal: string;
  readonly address: string;
}

/** What links of a hub need. */
export interface MemberLinkDeps {
  readonly transfers: Transfers;
  readonly freeze: Freeze;
  readonly turns: Turns;
}

/** A message of a piece is copied some times on its way. */
const GARBAGE = 6;

/**
 * Does a step of a transfer for the hub of this server: its clients open the links there, and the bytes pass in pieces.
 * Throws `InvalidArguments`, and what a request to the same link throws.
 */
export async function transferStep(
  { transfers, freeze, turns }: MemberLinkDeps,
  given: unknown,
  bytes: Uint8Array,
  { principal, address }: Visitor,
): Promise<{ readonly body: unknown; readonly bytes?: Uint8Array }> {
  const args = readTransferArgs(given);
  if (args === undefined) throw new InvalidArguments('This is no step of a transfer.');
  const transfer = transfers.open(args.secret, principal);
  if (args.step === 'open') {
    freeze.require('The ten minutes of the link do not run meanwhile.');
    return { body: describe(transfer) };
  }
  await turns.take(principal, GARBAGE * (bytes.length + PIECE_BYTES));
  if (transfer instanceof Download) {
    switch (args.step) {
      case 'read':
        transfer.requireOpen();
        return {
          body: {},
          bytes: await firstOf(transfer.pieces(args.from, Math.min(args.to, args.from + PIECE_BYTES))),
        };
      case 'took':
        transfer.requireOpen();
        if (!transfer.wasSent(args.from, args.to)) throw new InvalidArguments('These bytes were not read.');
        transfer.took(args.from, args.to, address);
        return { body: {} };
    }
  }
  if (transfer instanceof Upload) {
    switch (args.step) {
      case 'write':
        return {
          body: await transfer.receive(args.offset, only(bytes), async () => ({ received: transfer.received })),
        };
      case 'commit':
        freeze.require('The bytes that arrived are kept.');
        return { body: await transfer.receive(transfer.received, only(), () => transfer.commit(address)) };
    }
  }
  throw new InvalidArguments(`This link is not for ${args.step}.`);
}

function describe(transfer: ReturnType<Transfers['open']>): unknown {
  if (transfer instanceof Download) {
    const { kind, bytes, name, tag, isHeld } = transfer;
    return { kind, bytes, name, tag, isHeld };
  }
  if (transfer instanceof Upload) return { kind: transfer.kind, received: transfer.received, most: transfer.most };
  return transfer;
}

async function firstOf(pieces: AsyncGenerator<Uint8Array, void>): Promise<Uint8Array> {
  for await (const piece of pieces) return piece;
  return new Uint8Array(0);
}

async function* only(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* pieces;
}
