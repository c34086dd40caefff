/** Names of the C library: glibc first, then musl's, which carries the machine's architecture. */
const LIBC_NAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'] as const;

/** What `load` gives for the first C library that it finds. Throws where no known one is there. */
export function loadFirst<T>(load: (name: string) => T): T {
  const faults: unknown[] = [];
  for (const name of LIBC_NAMES) {
    try {
      return load(name);
    } catch (error) {
      faults.push(error);
    }
  }
  throw new AggregateError(faults, `no C library found under the names ${LIBC_NAMES.join(', ')}`);
}
