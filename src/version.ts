/** Set by ops/build.ts with `--define`; absent when the source is run directly. */
declare const AGENT3_BUILD_VERSION: string | undefined;
declare const AGENT3_BUILD_COMMIT: string | undefined;

/** The version of package.json, `0.0.0-dev` when run from source. */
export const version: string = typeof AGENT3_BUILD_VERSION === 'string' ? AGENT3_BUILD_VERSION : '0.0.0-dev';

/** The commit it was built from, shortened; `unknown` where git was not to be asked. */
export const commit: string = typeof AGENT3_BUILD_COMMIT === 'string' ? AGENT3_BUILD_COMMIT : 'unknown';
