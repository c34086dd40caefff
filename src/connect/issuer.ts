/** The only scope. The profile decides what a grant may do. */
export const SCOPE = 'agent3';
/** Clients that see this scope ask for it, and then use the refresh token. */
const OFFLINE = 'offline_access';

/** Returns the granted scopes of those that were asked for. */
export function grantedScope(asked: string): string {
  return asked.split(' ').includes(OFFLINE) ? `${SCOPE} ${OFFLINE}` : SCOPE;
}

/** Returns the MCP URL of an agent with this public URL. */
function resourceOf(issuer: string): string {
  return `${issuer}/mcp`;
}

/** Returns true when a client means this server (RFC 8707): the URL of `/mcp` or of the server, in any spelling. */
export function isResource(issuer: string, sent: string): boolean {
  if (!URL.canParse(sent) || /[?#]/.test(sent)) return false;
  const { origin, pathname, username } = new URL(sent);
  return origin === new URL(issuer).origin && username === '' && ['', '/mcp'].includes(pathname.replace(/\/$/, ''));
}

/** Metadata of the protected resource (RFC 9728). */
export function resourceMetadata(issuer: string) {
  return {
    resource: resourceOf(issuer),
    authorization_servers: [issuer],
    scopes_supported: [SCOPE],
    bearer_methods_supported: ['header'],
    resource_name: 'Agent3',
  };
}

/** Metadata of the authorization server (RFC 8414). */
export function serverMetadata(issuer: string) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/oauth/authorize`,
    token_endpoint: `${issuer}/oauth/token`,
    registration_endpoint: `${issuer}/oauth/register`,
    revocation_endpoint: `${issuer}/oauth/revoke`,
    scopes_supported: [SCOPE, OFFLINE],
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: true,
  };
}
