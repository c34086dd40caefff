/** The texts about who has access, and what was allowed for a while. */
export const english = {
  access: {
    newToken: 'New token',
    connect: 'Connect a client',
    change: 'Change',
    name: 'Name',
    nameHelp: 'Up to 64 small letters, digits, and _ . - between them',
    inDays: (days: number): string => (days === 1 ? 'in 1 day' : `in ${days} days`),
    create: 'Create token',
    makeCode: 'Make a code',
    tokenShown: 'The token, shown this once.',
    codeShown: 'The one-time code.',
    hidden: (time: string): string => `Hidden in ${time}.`,
    hide: 'Hide',
    copy: 'Copy',
    copied: 'Copied',
    qr: 'The token as a QR code',
    addUrl: 'Add this server to the client, under its connectors or MCP servers:',
    enterCode: 'Enter the code on the page that the client opens. Then come back here, and say yes to who has come.',
    awaited: 'Its client is awaited. It can do nothing before you say yes here.',
    arrived: (client: string, address: string, redirect: string): string =>
      `${client} has come from ${address}. Its answers go to ${redirect}. Keep it if this is yours; if not, revoke it.`,
    keep: 'Keep it',
    keepLabel: (name: string): string => `Keep ${name}`,
    changeNow: 'Change it',
    changeLabel: (name: string): string => `Change ${name}`,
    madeBy: 'Made by',
  },

  allowance: {
    title: 'Allowed for now',
    summary: 'Allow more than this once',
    scope: (token: string, rule: number, profile: string): string =>
      `Approves this request. Until the time is over, ${token} also runs, without a question, whatever rule ${rule} of the profile ${profile} asks about:`,
    minutesLabel: (number: number): string => `How long, request ${number}`,
    allow: (minutes: number): string => `Allow for ${minutes} minutes`,
    allowLabel: (number: number, minutes: number): string =>
      `Allow request ${number} and its rule for ${minutes} minutes`,
    rule: 'Rule',
    ruleOf: (rule: number, profile: string): string => `${rule} of the profile ${profile}`,
    by: 'Allowed by',
    uses: 'Used',
    times: (count: number): string => (count === 1 ? '1 time' : `${count} times`),
    end: 'End now',
    endLabel: (rule: number, token: string): string => `End what rule ${rule} allows ${token}`,
  },
};
