import { BlockList, isIP } from 'node:net';

/** IP addresses and networks, to ask whether an address is among them. */
export class AddressList {
  readonly #list = new BlockList();
  #isEmpty = true;

  /** Reads addresses and networks (`10.0.0.0/8`, `::1`) separated by commas; gives a sentence for each that is none. */
  static parse(text: string): { readonly list: AddressList; readonly faults: readonly string[] } {
    const list = new AddressList();
    const entries = text
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '');
    const wrong = entries.filter((entry) => !list.#add(entry));
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

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : undefined;
}
