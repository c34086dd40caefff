/** The options that the subcommands of `profile` share. */
export interface ProfileOptions {
  readonly dir?: string;
}
