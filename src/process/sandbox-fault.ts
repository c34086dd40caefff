/** Why a sandbox cannot be made. Its message goes on a sentence: `the directory /srv/app does not exist`. */
export class SandboxFault extends Error {}
