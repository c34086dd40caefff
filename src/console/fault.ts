/** Something of the console cannot be used or does not count: a directory, a file, a signature. The message says why, and what to do. */
export class ConsoleFault extends Error {}
