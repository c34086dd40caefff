import type { Answer } from '../calls/context.ts';
import type { OneShotEvent } from '../lib/clock.ts';
import type { TransferResult } from './transfer.ts';

/** The file that a link of `download` reads: on this machine, or on a server of the fleet. See `Download`. */
export interface LinkedDownload {
  readonly kind: 'download';
  readonly bytes: number;
  readonly name: string;
  readonly tag: string;
  requireOpen(): void;
  pieces(from: number, to: number): AsyncGenerator<Uint8Array, void>;
  took(from: number, to: number, address: string): void | Promise<void>;
}

/** The file that a link of `upload` writes. See `Upload`. */
export interface LinkedUpload {
  readonly kind: 'upload';
  readonly received: number;
  readonly most: number;
  readonly over: OneShotEvent;
  receive<T>(offset: number, body: AsyncIterable<Uint8Array>, then: () => Promise<T>): Promise<T>;
  commit(address: string): Promise<Answer>;
}

/** A link whose bytes have all passed. */
export interface UsedLink extends TransferResult {
  readonly kind: 'used';
}

export type Linked = LinkedDownload | LinkedUpload | UsedLink;

/** Who has opened a link: the address of the client, and the id of the request. */
export interface LinkVisit {
  readonly address: string;
  readonly id: string;
}

/** Finds the files of links. */
export interface Links {
  /** Opens the link with this secret. Throws `RouteNotFound`, and for a server of the fleet what a call there throws. */
  open(secret: string, visit: LinkVisit): Linked | Promise<Linked>;
}
