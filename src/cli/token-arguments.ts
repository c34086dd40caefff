/** The options that the subcommands of `token` share. */
export interface TokenOptions {
  readonly file?: string;
}
