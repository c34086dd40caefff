/** The texts about notifications. */
export const english = {
  title: 'Notifications',
  lead: 'This device notifies you of what happens, also while this page is closed. A notification says what happened, never a command.',
  turnOn: 'Turn on on this device',
  turnOff: 'Turn off on this device',
  busy: 'Waiting for your browser …',
  off: 'Notifications are off on this device.',
  choose: 'Tell me when',
  events: {
    waits: 'a command waits for approval',
    ended: 'a background command has ended',
    restarted: 'the agent was restarted because it did not answer',
    reuse: 'a sign-in has ended because its token may have been stolen',
    freeze: 'the server is frozen or thawed',
  },
  sendTest: 'Send a test',
  tried: {
    sent: 'Sent. It appears within seconds. If it does not, look at the settings of your device for this browser.',
    gone: 'The push service does not know this device any more. Turn notifications off and on again.',
    failed: (why: string): string => `It was not sent: ${why}`,
  },
  obstacle: {
    unsupported: 'This browser has no notifications, or the page is not open over HTTPS.',
    install:
      'On iPhone and iPad: tap Share, then Add to Home Screen, and open the console from there. Then turn them on here.',
    denied:
      'You have blocked notifications of this page. Allow them in the settings of the browser for this page, then load it again.',
    'no-key': 'The server has no key for notifications. On the server: sudo agent3 install',
  },
  failed: (why: string): string =>
    `Your browser could not do it: ${why}. Its maker's push service has to be reachable from this device.`,
  from: (text: string, host: string): string => `${text} ${host}`,
  waits: { title: 'A command waits', body: 'Approve or deny it on' },
  ended: { title: 'A command has ended', body: 'Its output is on' },
  restarted: { title: 'The agent was restarted', body: 'It did not answer:' },
  reuse: { title: 'A token may be stolen', body: 'A sign-in has ended on' },
  frozen: { title: 'The server is frozen', body: 'Nothing runs on' },
  thawed: { title: 'The server is thawed', body: 'Commands continue on' },
  test: { title: 'Notifications work', body: 'This is a test from' },
  other: { title: 'Agent3', body: 'Something happened on' },
};

/** The same, in Spanish. */
export const spanish: typeof english = {
  title: 'Notificaciones',
  lead: 'Este dispositivo avisa de lo que ocurre, también con esta página cerrada. Una notificación dice qué ha ocurrido, nunca un comando.',
  turnOn: 'Activar en este dispositivo',
  turnOff: 'Desactivar en este dispositivo',
  busy: 'Esperando al navegador…',
  off: 'Las notificaciones están desactivadas en este dispositivo.',
  choose: 'Avisar cuando',
  events: {
    waits: 'un comando espera aprobación',
    ended: 'un comando en segundo plano ha terminado',
    restarted: 'el agente se ha reiniciado porque no respondía',
    reuse: 'un inicio de sesión ha terminado porque quizá han robado su token',
    freeze: 'el servidor se congela o se descongela',
  },
  sendTest: 'Enviar una prueba',
  tried: {
    sent: 'Enviada. Aparece en unos segundos. Si no aparece, revisar los ajustes del dispositivo para este navegador.',
    gone: 'El servicio de notificaciones ya no conoce este dispositivo. Desactivar las notificaciones y activarlas de nuevo.',
    failed: (why) => `No se ha enviado: ${why}`,
  },
  obstacle: {
    unsupported: 'Este navegador no tiene notificaciones, o la página no está abierta por HTTPS.',
    install:
      'En iPhone y iPad: tocar Compartir, después Añadir a pantalla de inicio, y abrir la consola desde allí. Después activarlas aquí.',
    denied:
      'Las notificaciones de esta página están bloqueadas. Permitirlas en los ajustes del navegador para esta página y cargarla de nuevo.',
    'no-key': 'El servidor no tiene clave para notificaciones. En el servidor: sudo agent3 install',
  },
  failed: (why) =>
    `El navegador no ha podido hacerlo: ${why}. El servicio de notificaciones de su fabricante debe ser accesible desde este dispositivo.`,
  from: (text, host) => `${text} ${host}`,
  waits: { title: 'Un comando espera', body: 'Se puede aprobar o denegar en' },
  ended: { title: 'Un comando ha terminado', body: 'Su salida está en' },
  restarted: { title: 'El agente se ha reiniciado', body: 'No respondía:' },
  reuse: { title: 'Quizá han robado un token', body: 'Un inicio de sesión ha terminado en' },
  frozen: { title: 'El servidor está congelado', body: 'Nada se ejecuta en' },
  thawed: { title: 'El servidor está descongelado', body: 'Los comandos continúan en' },
  test: { title: 'Las notificaciones funcionan', body: 'Esta es una prueba de' },
  other: { title: 'Agent3', body: 'Algo ha ocurrido en' },
};
