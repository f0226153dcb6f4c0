import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { Directory } from '../../actors/directory.ts';
import type { InstallationNotice } from '../../actors/installation.ts';
import { type Principal, SYSTEM } from '../../actors/principal.ts';
import { sha256HexOfBytes } from '../../events/hash.ts';
import { derivedId } from '../../events/id.ts';
import { INSTALLATION_PREFIX } from '../../events/installation.ts';
import { installationPayload, installationRepositoriesPayload } from '../github/installation-payload.ts';
import { isSigned, readSignature } from '../github/signature.ts';
import { parseBody, readRawBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import { problems } from './operations.ts';
import { invalid, isProblem, type Problem, problemOf } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { Answer, SelfAuthenticatingRoute } from './route.ts';

/** Who acts when GitHub tells of something: its deliveries change nothing but installations. */
const GITHUB: Principal = {
  ...SYSTEM,
  actor: 'act_github',
  subject: 'act_github',
  credential: { kind: 'system', id: 'github-webhook' },
};

/** The name of an event, such as `installation_repositories`. */
const EVENT = /^[a-z_]{1,100}$/;
/** The id of a delivery: a GUID. */
const DELIVERY = /^[\w-]{1,100}$/;

const NOT_SIGNED: Problem = {
  problem: 'unauthorized',
  detail: 'X-Hub-Signature-256 must be the signature of this body with the secret of the webhook.',
  headers: { 'WWW-Authenticate': 'X-Hub-Signature-256 realm="chittyconnect"' },
};

/** The payloads that are kept, by the event they come with. */
const PAYLOADS = new Map<string, z.ZodType<InstallationNotice>>([
  ['installation', installationPayload],
  ['installation_repositories', installationRepositoriesPayload],
]);

const answerBody = z.strictObject({
  status: z.enum(['pong', 'recorded', 'unchanged', 'ignored']).meta({
    description:
      'pong: to a ping; recorded: it changed the installation; unchanged: it was known, or is older than what is ' +
      'known; ignored: nothing is done with such events',
  }),
  installation: z.string().optional().meta({ description: 'The id of the installation' }),
});

const response = (description: string) => ({ description, content: { 'application/json': { schema: answerBody } } });

/**
 * POST /integrations/github/webhook
 *
 * GitHub delivers at least once, in no order. The signature covers the body alone and not the headers: what an old body
 * can do when it is sent again under another delivery id is left to the installation, which does not go back in time.
 */
export const githubWebhook: SelfAuthenticatingRoute = {
  method: 'POST',
  path: '/integrations/github/webhook',
  access: 'self-authenticating',
  action: 'admin.write',
  isSigned: true,
  operation: {
    operationId: 'githubWebhook',
    tags: ['integrations'],
    summary: 'What GitHub tells of installations of the GitHub App',
    description:
      'For GitHub, which signs each body with the secret in GITHUB_WEBHOOK_SECRET. `installation` and ' +
      '`installation_repositories` are kept; a delivery that is repeated changes nothing. Without the secret it is 503.',
    security: [{ githubSignature: [] }],
    requestParams: {
      header: z.object({
        'X-GitHub-Event': z.string().meta({ description: 'What kind of event it is', examples: ['installation'] }),
        'X-GitHub-Delivery': z.string().meta({ description: 'The id of the delivery' }),
      }),
    },
    requestBody: {
      required: true,
      content: { 'application/json': { schema: z.looseObject({}).meta({ description: 'As GitHub documents it' }) } },
    },
    responses: {
      200: response('It was taken'),
      202: response('Nothing is done with such events'),
      ...problems(400, 401, 413, 415, 422, 503),
    },
  },
  async handle(exchange) {
    const { request, env } = exchange;
    const secret = env.GITHUB_WEBHOOK_SECRET?.trim();
    if (!secret) {
      return {
        problem: 'not-configured',
        detail: 'Set GITHUB_WEBHOOK_SECRET to the secret of the GitHub App’s webhook.',
      };
    }
    // Before a body is read that nobody signed.
    const signature = readSignature(request.headers.get('X-Hub-Signature-256'));
    if (signature === null) return NOT_SIGNED;
    const body = await readRawBody(exchange);
    if (isProblem(body)) return body;
    if (!(await isSigned(body, signature, secret))) {
      return { ...NOT_SIGNED, unsaid: { reason: 'wrong', presented: 'signature' } };
    }
    const query = readQuery(request, []);
    if (isProblem(query)) return query;
    const event = request.headers.get('X-GitHub-Event') ?? '';
    if (!EVENT.test(event)) return invalid('X-GitHub-Event', 'must be the name of an event');
    if (event === 'ping') return jsonText(exchange, 200, JSON.stringify({ status: 'pong' }));
    const schema = PAYLOADS.get(event);
    if (!schema) return jsonText(exchange, 202, JSON.stringify({ status: 'ignored' }));
    const delivery = request.headers.get('X-GitHub-Delivery') ?? '';
    if (!DELIVERY.test(delivery)) return invalid('X-GitHub-Delivery', 'must be the id of the delivery');
    const notice = parseBody(body, schema);
    if (isProblem(notice)) return notice;
    return receive(exchange, delivery, notice, sha256HexOfBytes(body));
  },
};

async function receive(
  exchange: Exchange,
  delivery: string,
  notice: InstallationNotice,
  fingerprint: string,
): Promise<Answer> {
  const { env, correlationId } = exchange;
  const id = derivedId(INSTALLATION_PREFIX, `github installation ${notice.installation.githubId}`);
  await new Directory(env.DIRECTORY).register(`installation/${id}`);
  const reply = await env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id)).execute({
    id,
    command: { type: 'receive', notice },
    principal: GITHUB,
    cause: { correlationId, causationId: null, commandId: delivery },
    idempotency: { key: delivery, fingerprint },
  });
  if (isRefusal(reply)) return problemOf(reply);
  const status = reply.changed ? 'recorded' : 'unchanged';
  return jsonText(exchange, 200, JSON.stringify({ status, installation: id }));
}
