// The OpenID provider of the tests: oidc-provider under its FAPI 2.0 profile, on a free
// port of loopback.
//
// The first line of its input is its settings, and each line after that a step of a key
// rotation: "publish" adds a key to the key set, "sign" signs with the newest one from
// then on, and "retire" takes the others out of the set. To each line it answers with
// one, when it is done: to the first with its issuer identifier. It ends with its input.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createInterface } from 'node:readline';

import { Provider } from 'oidc-provider';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line) => process.stdout.write(`${line}\n`);
console.log = console.info = console.error; // what others have to say is no answer
const settings = JSON.parse((await lines.next()).value);

const generated = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  PS256: ['rsa', { modulusLength: 2048 }],
};

function newKey(alg) {
  const { privateKey } = generateKeyPairSync(...generated[alg]);
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomBytes(8).toString('hex') };
}

const newKeys = () => Object.keys(generated).map(newKey);

// The certificate that the client has shown, if there is one.
const peer = (ctx) => ctx.socket.getPeerX509Certificate();

const accessTokens = {
  // RFC 9068: typ is at+jwt. Which algorithm signs is told by that of ID tokens.
  resourceIndicators: {
    enabled: true,
    defaultResource: () => settings.audience,
    useGrantedResource: () => true,
    getResourceServerInfo: (ctx, resource, client) => ({
      audience: settings.audience,
      scope: settings.scope,
      accessTokenFormat: 'jwt',
      accessTokenTTL: 300,
      jwt: { sign: { alg: client.idTokenSignedResponseAlg } },
    }),
  },
};

const senderConstraint = {
  // RFC 8705: who has a certificate of the test's authority, and is named in it.
  mTLS: {
    enabled: true,
    certificateBoundAccessTokens: true,
    tlsClientAuth: true,
    getCertificate: peer,
    certificateAuthorized: (ctx) => ctx.socket.authorized,
    certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_san_uri'
      && peer(ctx).subjectAltName.split(', ').includes(`URI:${expected}`),
  },
  // RFC 9449.
  dPoP: { enabled: true },
};

const features = {
  ...accessTokens,
  ...senderConstraint,
  fapi: { enabled: true, profile: '2.0' },
  pushedAuthorizationRequests: { enabled: true },
  clientCredentials: { enabled: true },
  devInteractions: { enabled: false },
  // RFC 9396: what the customer was asked for is granted as it was asked for.
  richAuthorizationRequests: {
    enabled: true,
    types: { payment_initiation: { validate() {} } },
    authorizationDetailsForGrantSource: (ctx) => JSON.parse(ctx.oidc.params.authorization_details ?? 'null') ?? undefined,
    authorizationDetailsForAccessToken: (ctx, token, source) => source?.rar,
    authorizationDetailsForIntrospection: (ctx, token) => token.rar,
  },
};

// What no standard names: who is who, and the consent that the customer gave the client.
function extraTokenClaims(ctx, token) {
  if (token.kind === 'ClientCredentials') {
    return { actor_type: 'tpp' };
  }
  return {
    actor_type: 'psu',
    roles: ['customer'],
    openbanking_intent_id: `${token.accountId}-${token.clientId}`,
    auth_time: ctx.oidc.entities.AuthorizationCode.authTime,
    acr: ctx.oidc.entities.AuthorizationCode.acr,
  };
}

// The bank asks for consents in its own way: whoever has logged in grants what is asked.
async function loadExistingGrant({ oidc }) {
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addResourceScope(settings.audience, oidc.params.scope);
  for (const detail of JSON.parse(oidc.params.authorization_details ?? '[]')) {
    grant.addRar(detail);
  }
  await grant.save();
  return grant;
}

const configuration = {
  clients: settings.clients,
  clientAuthMethods: ['tls_client_auth', 'private_key_jwt'],
  clientDefaults: {
    grant_types: ['authorization_code', 'client_credentials'],
    require_pushed_authorization_requests: true,
  },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  extraTokenClaims,
  features,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (ctx, { uid }) => `/login/${uid}` },
  loadExistingGrant,
  ttl: { AuthorizationCode: 60, ClientCredentials: 300, Grant: 600, Interaction: 60, Session: 600 },
};

// Keys that are published; of each algorithm, the first one signs.
let keys = newKeys();
let provider;

// A provider's keys are fixed, so that another one takes over.
function serve(next) {
  keys = next;
  provider = new Provider(issuer, { ...configuration, jwks: { keys } });
  for (const event of ['server_error', 'grant.error', 'authorization.error', 'pushed_authorization_request.error']) {
    provider.on(event, (ctx, error) => console.error(event, error.message, error.error_description, error.error_detail));
  }
}

const newest = () => keys.slice(-Object.keys(generated).length);

const steps = {
  publish: () => [...keys, ...newKeys()],
  sign: () => [...newest(), ...keys.filter((key) => !newest().includes(key))],
  retire: () => keys.slice(0, Object.keys(generated).length),
};

// Whoever is named logs in, without being asked for a password.
async function login(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  await provider.interactionFinished(request, response, { login: { accountId: params.login_hint, acr: settings.acr }, consent: {} });
}

async function answer(request, response) {
  try {
    await (request.url.startsWith('/login/') ? login : provider.callback())(request, response);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
}

const server = https.createServer({
  key: readFileSync(settings.key),
  cert: readFileSync(settings.certificate),
  ca: readFileSync(settings.authority),
  requestCert: true,
  rejectUnauthorized: false, // a client without one can authenticate in another way
}, answer);
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const issuer = `https://127.0.0.1:${server.address().port}`;

serve(keys);
say(issuer);
for await (const step of lines) {
  serve(steps[step]());
  say(step);
}
process.exit();
