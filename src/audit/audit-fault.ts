/** The record cannot be used; the message says why and what to do. */
export class AuditFault extends Error {}
