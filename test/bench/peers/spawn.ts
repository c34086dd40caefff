import { dlopen, ptr } from 'bun:ffi';

/**
 * The least that running a command costs: posix_spawn(3) and waitpid(2) of `/bin/sh -c true`, straight through libc.
 * For each line on standard input, runs as many as it says and prints the milliseconds of each, as JSON.
 */
const { symbols } = dlopen('libc.so.6', {
  posix_spawn: { args: ['ptr', 'ptr', 'ptr', 'ptr', 'ptr', 'ptr'], returns: 'int' },
  waitpid: { args: ['int', 'ptr', 'int'], returns: 'int' },
});

const cString = (text: string): Uint8Array => Buffer.from(`${text}\0`);
const strings = (texts: readonly Uint8Array[]): BigUint64Array =>
  BigUint64Array.from([...texts.map((text) => BigInt(ptr(text))), 0n]);

const path = cString('/bin/sh');
const argv = [path, cString('-c'), cString('true')];
const envp = [cString('PATH=/usr/bin:/bin')];
const argvPointers = strings(argv);
const envpPointers = strings(envp);
const pid = new Int32Array(1);

function spawnOnce(): number {
  const start = performance.now();
  const failed = symbols.posix_spawn(ptr(pid), ptr(path), null, null, ptr(argvPointers), ptr(envpPointers));
  if (failed !== 0) throw new Error(`posix_spawn failed with ${failed}`);
  if (symbols.waitpid(pid[0] ?? 0, null, 0) !== pid[0]) throw new Error('waitpid failed');
  return performance.now() - start;
}

/** The pointers above do not keep what they point to from the garbage collector. */
Object.assign(globalThis, { held: [path, argv, envp] });

for await (const line of console) {
  console.log(JSON.stringify(Array.from({ length: Number(line) }, spawnOnce)));
}
