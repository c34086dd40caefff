/** Where a relay leads. */
type Target = { readonly hostname: string; readonly port: number } | { readonly unix: string };

/** What a relayed connection has: its other end, and the bytes that came before that was there. */
export interface Relayed {
  to?: Bun.Socket<unknown>;
  early: Buffer[];
}

/** The handlers of a listener that passes the bytes of each connection on to `target`, and back. */
export function relayTo(target: Target): Bun.SocketHandler<Relayed> {
  return {
    open: (from) => {
      from.data = { early: [] };
      const socket: Bun.SocketHandler<unknown> = {
        open: (to) => {
          from.data.to = to;
          for (const bytes of from.data.early) to.write(bytes);
        },
        data: (_to, bytes) => void from.write(bytes),
        close: () => void from.end(),
      };
      const connected = 'unix' in target ? Bun.connect({ ...target, socket }) : Bun.connect({ ...target, socket });
      void connected.catch(() => from.end());
    },
    data: (from, bytes) => {
      if (from.data.to === undefined) from.data.early.push(Buffer.from(bytes));
      else from.data.to.write(bytes);
    },
    close: (from) => void from.data.to?.end(),
  };
}
