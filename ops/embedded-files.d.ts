/** Files that `with { type: 'text' }` puts into the executable. */
declare module '*.service' {
  const text: string;
  export default text;
}
declare module '*.timer' {
  const text: string;
  export default text;
}
declare module '*.logrotate' {
  const text: string;
  export default text;
}
declare module '*.conf' {
  const text: string;
  export default text;
}
declare module '*.example' {
  const text: string;
  export default text;
}
declare module '*Caddyfile' {
  const text: string;
  export default text;
}

declare module '*.slice' {
  const text: string;
  export default text;
}
