/** Long enough for a loaded machine, short enough to show that something hangs. */
const TIMEOUT_MS = 45_000;
const LOOK_MS = 20;

/** Resolves with what `look` returns once that is neither false nor undefined; throws, with `what`, if it never is. */
export async function eventually<T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
  timeoutMs = TIMEOUT_MS,
): Promise<T> {
  const giveUp = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== false && seen !== undefined) return seen;
    if (performance.now() > giveUp) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await Bun.sleep(LOOK_MS);
  }
}

/** What `promise` resolves to; throws naming `what` when it takes longer than `timeoutMs`. */
export async function within<T>(what: string, promise: Promise<T>, timeoutMs = TIMEOUT_MS): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`${what} took longer than ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
