/** The texts of the pages, in one language. */
export interface Texts {
  readonly lang: string;
  readonly title: string;
  readonly asks: (client: string) => string;
  /** For a client whose name was not checked. */
  readonly unproven: string;
  readonly goesTo: string;
  readonly thisComputer: string;
  readonly onlyIf: string;
  readonly codeFor: string;
  readonly client: string;
  readonly profile: string;
  readonly end: string;
  readonly noEnd: string;
  readonly noCode: string;
  /** A code was made with another key than that of the agent. */
  readonly otherKey: string;
  readonly name: string;
  readonly otherKind: string;
  readonly enterCode: string;
  readonly codeHint: string;
  readonly allow: string;
  readonly cancel: string;
  readonly emptyCode: string;
  readonly wrongCode: string;
  readonly tooManyTries: string;
  readonly wrongClient: (kind: string, asks: readonly string[]) => string;
  readonly cannot: string;
  readonly back: (host: string) => string;
  readonly full: string;
}

const english: Texts = {
  lang: 'en',
  title: 'Connect to this server',
  asks: (client) => `${client} asks for access to this server.`,
  unproven: 'It chose this name itself; nobody has checked it.',
  goesTo: 'Access goes to',
  thisComputer: 'a program on the computer in front of you',
  onlyIf: 'Only if you pressed Connect yourself, just now.',
  codeFor: 'The code is for',
  client: 'Client',
  profile: 'Profile',
  end: 'End',
  noEnd: 'no end',
  noCode: 'No code is waiting. On the server, run: sudo agent3 connect. Reload this page when you have a code.',
  otherKey:
    'A code was made with another AGENT3_GRANT_KEY than this server uses. On the server, run: sudo systemctl restart agent3. Then make a new code: sudo agent3 connect.',
  name: 'Name',
  otherKind: 'The waiting code is for another kind of client and cannot be used here.',
  enterCode: 'Code from your server',
  codeHint: 'Ten letters and digits, shown by sudo agent3 connect.',
  allow: 'Allow access',
  cancel: 'Cancel',
  emptyCode: 'No code was entered. See the terminal of your server.',
  wrongCode: 'This code is wrong or has expired. See the terminal of your server.',
  tooManyTries: 'Too many tries from here. Wait a minute, then enter the code again.',
  wrongClient: (kind, asks) =>
    `This code is for ${kind}, but another program asks. Nothing was allowed. To connect this program, run on the server: sudo agent3 connect --client ${asks.join(' or ')}`,
  cannot: 'This request cannot be answered',
  back: (host) => `Back to ${host}`,
  full: 'full: every command, as the user of the agent',
};

const spanish: Texts = {
  lang: 'es',
  title: 'Conectar con este servidor',
  asks: (client) => `${client} pide acceso a este servidor.`,
  unproven: 'El nombre se lo ha puesto el propio programa; nadie lo ha comprobado.',
  goesTo: 'El acceso va a',
  thisComputer: 'un programa en el ordenador que tiene delante',
  onlyIf: 'Solo si acaba de pulsar Conectar usted mismo.',
  codeFor: 'El código corresponde a',
  client: 'Cliente',
  profile: 'Perfil',
  end: 'Fin',
  noEnd: 'sin fin',
  noCode:
    'No hay ningún código pendiente. En el servidor, ejecute: sudo agent3 connect. Recargue esta página cuando tenga un código.',
  otherKey:
    'Hay un código pendiente que se hizo con otra AGENT3_GRANT_KEY que la de este servidor. En el servidor, ejecute: sudo systemctl restart agent3. Después, haga otro código: sudo agent3 connect.',
  name: 'Nombre',
  otherKind: 'El código pendiente es para otro tipo de cliente y no sirve aquí.',
  enterCode: 'Código de su servidor',
  codeHint: 'Diez letras y cifras que muestra sudo agent3 connect.',
  allow: 'Permitir el acceso',
  cancel: 'Cancelar',
  emptyCode: 'No se ha introducido ningún código. Lo muestra el terminal de su servidor.',
  wrongCode: 'El código no es correcto o ha caducado. Mire el terminal de su servidor.',
  tooManyTries: 'Demasiados intentos desde aquí. Espere un minuto y vuelva a introducir el código.',
  wrongClient: (kind, asks) =>
    `Este código se hizo para ${kind}, y quien pide acceso es otro. No se ha permitido nada. Si es lo que quiere conectar, ejecute en el servidor: sudo agent3 connect --client ${asks.join(' o ')}`,
  cannot: 'No se puede responder a esta petición',
  back: (host) => `Volver a ${host}`,
  full: 'full: cualquier orden, como el usuario del agente',
};

const LANGUAGES: readonly Texts[] = [english, spanish];

/** Returns the texts in the first available language that a client or browser asks for (OpenID Connect, `ui_locales`). */
export function textsFor(uiLocales: string | null, acceptLanguage: string | null): Texts {
  const wanted = [...(uiLocales ?? '').split(' '), ...(acceptLanguage ?? '').split(',')].slice(0, 20);
  for (const tag of wanted) {
    const language = tag.trim().slice(0, 2).toLowerCase();
    const texts = LANGUAGES.find(({ lang }) => lang === language);
    if (texts !== undefined) return texts;
  }
  return english;
}
