/** Why an installation stops, as a sentence for the owner that says what to do. Nothing half done is left. */
export class InstallFault extends Error {}
