import { describeSigner } from '../console/order-rules.ts';
import type { Signature } from '../console/passkeys.ts';
import type { Logger } from '../lib/logger.ts';
import { type HubPasskeys, hubPasskeysPath, readHubPasskeys } from './hub-passkeys.ts';
import { WatchedFile } from './roots-file.ts';

interface PinnedDeps {
  /** Puts on record what the agent does. */
  readonly trail: { agent(what: string, fields: Readonly<Record<string, unknown>>): void };
  readonly logger: Logger;
  readonly changed: () => void;
}

/** The passkeys of the hub that count on this server: their number for the hub, and each change on record. */
export class PinnedHere {
  readonly #file: WatchedFile<HubPasskeys | undefined>;

  constructor(
    private readonly hubFile: string,
    private readonly deps: PinnedDeps,
  ) {
    const changed = (): void => {
      this.note();
      deps.changed();
    };
    this.#file = new WatchedFile(hubPasskeysPath(hubFile), () => this.#read(), changed, deps.logger);
  }

  /** Undefined: none is pinned. */
  get count(): number | undefined {
    return this.#file.value?.count;
  }

  /** Looks at the file now: of two changes that follow each other, the first is on record as well. */
  look(): void {
    this.#file.look();
  }

  /** Puts on record what is pinned, and who has signed that; without a signature it was root. */
  note(): void {
    const { value } = this.#file;
    if (value === undefined) return;
    const { count, passkeys } = value;
    const signed = value.signed as Signature | undefined;
    const who = signed === undefined ? { by: 'root' } : { by: describeSigner(signed), signed };
    this.deps.trail.agent('passkeys of the hub', {
      count,
      passkeys: passkeys.map(({ fingerprint }) => fingerprint),
      ...who,
    });
  }

  /** A file that cannot be used keeps the agent from nothing else. */
  #read(): HubPasskeys | undefined {
    try {
      return readHubPasskeys(this.hubFile);
    } catch (error) {
      this.deps.logger.warn({ err: error }, 'no passkey of the hub counts here');
      return undefined;
    }
  }
}
