import type { Channel } from './channel.ts';

/** Where a test's scripts run: an emulated machine or a container. */
export interface Guest {
  readonly channel: Channel;
  /** Whether limits of memory, processes and CPU hold in it. */
  readonly hasControllers: boolean;
  /** Puts a file of the host into it, with its mode, as root's. */
  copyIn(hostPath: string, guestPath: string): Promise<void>;
  /** Where the host reaches a unix socket of it, or an address such as `127.0.0.1:4222`. Throws where it cannot. */
  reach(socket: string): Promise<string>;
  /** Passes what connects to `address` in it on to a unix socket of the host. Throws where it cannot. */
  forward(address: string, socket: string): Promise<void>;
  /** Restarts it as by a power cut. Throws where there is no power to cut. */
  powerCut(): Promise<void>;
  /** The end of what it wrote on its console. */
  log(): string;
  /** Switches it off, as by pulling the plug; resolves when nothing of it is left. */
  kill(): Promise<void>;
}
