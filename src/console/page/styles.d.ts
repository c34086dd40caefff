/** A style sheet goes to the bundler. */
declare module '*.css';
