import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import { CSRF_HEADER, SESSION_COOKIE } from '../auth/cookies.ts';
import { problems } from './operations.ts';
import type { Route } from './route.ts';

/** The version of the API, which is that of the product. */
const API_VERSION = '0.1.0';

/** Builds the OpenAPI 3.1 document from the route table and the Zod schemas that check the requests. */
export function openApiText(routes: readonly Route[]): string {
  const paths: ZodOpenApiPathsObject = {};
  for (const { method, path, access, operation } of routes) {
    const template = path.replaceAll(/:(\w+)\+?/g, '{$1}');
    const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name ?? '');
    paths[template] = {
      ...paths[template],
      ...(names.length > 0 && { parameters: names.map(pathParameter) }),
      [method.toLowerCase()]: {
        ...(access === 'public' && { security: [] }),
        ...operation,
        responses: {
          ...(operation.operationId !== 'health' && problems(429)),
          // Also where a body that is not looked at is too long even to be refused for what it says.
          ...(method !== 'GET' && problems(413)),
          ...operation.responses,
        },
      },
    };
  }
  const document = createDocument({
    openapi: '3.1.0',
    info: {
      title: 'ChittyConnect',
      version: API_VERSION,
      summary: 'The connective layer of ChittyOS',
      description:
        'Contexts with a durable, provable history that can be watched live and replayed. Answers to those who have ' +
        'limits say what they are: RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10).',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      contact: { name: 'ChittyConnect', url: 'https://connect.chitty.cc' },
    },
    servers: [{ url: 'https://connect.chitty.cc' }],
    tags: [
      { name: 'contexts', description: 'What people, teams and agents work on' },
      { name: 'delegation', description: 'Letting others act with a part of one’s rights' },
      { name: 'history', description: 'All that happened, in order' },
      { name: 'log', description: 'The transparency log, by which anyone verifies history' },
      { name: 'webhooks', description: 'Events sent to an address, as Standard Webhooks says' },
      { name: 'live', description: 'Changes as they are made' },
      { name: 'sharing', description: 'Who may do what with a context' },
      { name: 'collaboration', description: 'Notes, and changes that others approve' },
      { name: 'privacy', description: 'People’s words: whose they are, how long they are kept, and erasing them' },
      { name: 'connections', description: 'How contexts have to do with each other' },
      { name: 'actors', description: 'Who does things here: people, services and AI agents' },
      { name: 'credentials', description: 'By what actors are known: keys and sessions' },
      { name: 'audit', description: 'Who did what, and who was refused what' },
      { name: 'administration', description: 'What operators look at and do' },
      { name: 'integrations', description: 'What other services tell, and what is known of them' },
      { name: 'service', description: 'The service itself' },
    ],
    security: [{ bearer: [] }, { apiKey: [] }, { cookie: [] }],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or a token of a session or a delegation' },
        githubSignature: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Hub-Signature-256',
          description: 'HMAC-SHA256 of the body with the secret of the webhook',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key' },
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: SESSION_COOKIE,
          description: `A session of a browser; with ${CSRF_HEADER} for what changes something (docs/credentials.md)`,
        },
      },
    },
    paths,
  });
  return JSON.stringify(document);
}

/** What the variable parts of paths are. */
const PARAMETERS: Readonly<Record<string, string>> = {
  id: 'The id; contexts and actors are also known by their ChittyIDs, and an actor to itself as `me`',
  key: 'The id of the key',
  session: 'The id of the session',
  capability: '`administrator` or `auditor`',
  actor: 'The id of the member',
  invitation: 'The id of the invitation',
  note: 'The id of the note',
  proposal: 'The id of the proposal',
  type: 'The type of the stream, such as `context`',
  path: 'The rest of the path, such as `chronicle/api/entries`, or `0/x001/234` of a tile',
};

function pathParameter(name: string) {
  return {
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    description: PARAMETERS[name] ?? name,
  } as const;
}
