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
    tokenShown: 'The token, shown only once.',
    codeShown: 'The one-time code.',
    hidden: (time: string): string => `Hidden in ${time}.`,
    hide: 'Hide',
    copy: 'Copy',
    copied: 'Copied',
    qr: 'The token as a QR code',
    addUrl: 'Add this server to the client, under its connectors or MCP servers:',
    otherClient: 'another client',
    otherHost: (host: string, page: string): string =>
      `The code is for ${host}, but this page is at ${page}. The page cannot check that ${host} is your agent: compare it with AGENT3_PUBLIC_URL on the server.`,
    badUrl: (url: string): string =>
      `The console names ${url} as the URL for clients. No agent is there, so the page makes no code for it: somebody may have taken over the console.`,
    enterCode:
      'Enter the code on the page that the client opens. Then come back here, and keep the client that has connected.',
    awaited: 'Waiting for its client, which can do nothing before you keep it here.',
    arrived: (client: string, address: string, redirect: string): string =>
      `${client} has connected from ${address}. Its answers go to ${redirect}. Keep it if this is yours; if not, revoke it.`,
    keep: 'Keep it',
    keepLabel: (name: string): string => `Keep it: ${name}`,
    changeNow: 'Change it',
    changeLabel: (name: string): string => `Change it: ${name}`,
    madeBy: 'Made by',
  },

  allowance: {
    title: 'Allowed for now',
    summary: 'Allow more than this once',
    scope: (token: string, rule: number, profile: string): string =>
      `Approves this request. Until the time is over, ${token} also runs, without a question, whatever rule ${rule} of the profile ${profile} asks about:`,
    only: 'Only in the directory',
    minutesLabel: (number: number): string => `How long, request ${number}`,
    allow: (minutes: number): string => `Allow for ${minutes} minutes`,
    allowLabel: (number: number, minutes: number): string =>
      `Allow for ${minutes} minutes: request ${number} and its rule`,
    rule: 'Rule',
    ruleOf: (rule: number, profile: string): string => `${rule} of the profile ${profile}`,
    by: 'Allowed by',
    uses: 'Used',
    times: (count: number): string => (count === 1 ? '1 time' : `${count} times`),
    end: 'End now',
    endLabel: (rule: number, token: string): string => `End now: what rule ${rule} allows ${token}`,
  },
};

/** The same, in Spanish. */
export const spanish: typeof english = {
  access: {
    newToken: 'Token nuevo',
    connect: 'Conectar un cliente',
    change: 'Cambiar',
    name: 'Nombre',
    nameHelp: 'Hasta 64 letras minúsculas y cifras, con _ . - entre ellas',
    inDays: (days) => (days === 1 ? 'en 1 día' : `en ${days} días`),
    create: 'Crear el token',
    makeCode: 'Crear un código',
    tokenShown: 'El token, que se muestra solo esta vez.',
    codeShown: 'El código de un solo uso.',
    hidden: (time) => `Se oculta en ${time}.`,
    hide: 'Ocultar',
    copy: 'Copiar',
    copied: 'Copiado',
    qr: 'El token como código QR',
    addUrl: 'Añadir este servidor al cliente, entre sus conectores o servidores MCP:',
    otherClient: 'otro cliente',
    otherHost: (host, page) =>
      `El código es para ${host}, pero esta página está en ${page}. La página no puede comprobar que ${host} sea su agente: compararlo con AGENT3_PUBLIC_URL en el servidor.`,
    badUrl: (url) =>
      `La consola indica ${url} como URL para los clientes. Ahí no hay ningún agente, así que la página no crea ningún código: alguien puede haber tomado la consola.`,
    enterCode:
      'Escribir el código en la página que abre el cliente. Después volver aquí y conservar el cliente que se ha conectado.',
    awaited: 'Se espera a su cliente, que no puede hacer nada antes de que se conserve aquí.',
    arrived: (client, address, redirect) =>
      `${client} se ha conectado desde ${address}. Sus respuestas van a ${redirect}. Conservarlo si es el esperado; si no, revocarlo.`,
    keep: 'Conservar',
    keepLabel: (name) => `Conservar: ${name}`,
    changeNow: 'Cambiar ahora',
    changeLabel: (name) => `Cambiar ahora: ${name}`,
    madeBy: 'Creado por',
  },

  allowance: {
    title: 'Permitido por ahora',
    summary: 'Permitir más que esta vez',
    scope: (token, rule, profile) =>
      `Aprueba esta solicitud. Hasta que acabe el tiempo, ${token} ejecuta también, sin preguntar, todo aquello por lo que pregunta la regla ${rule} del perfil ${profile}:`,
    only: 'Solo en el directorio',
    minutesLabel: (number) => `Cuánto tiempo, solicitud ${number}`,
    allow: (minutes) => `Permitir ${minutes} minutos`,
    allowLabel: (number, minutes) => `Permitir ${minutes} minutos: solicitud ${number} y su regla`,
    rule: 'Regla',
    ruleOf: (rule, profile) => `${rule} del perfil ${profile}`,
    by: 'Permitido por',
    uses: 'Usos',
    times: (count) => (count === 1 ? '1 vez' : `${count} veces`),
    end: 'Acabar ahora',
    endLabel: (rule, token) => `Acabar ahora: lo que la regla ${rule} permite a ${token}`,
  },
};
