import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { isId } from '../../../events/id.ts';
import {
  INSTALLATION_PREFIX,
  installationAccount,
  installationPermissions,
  installationRepository,
  installationSubscriptions,
  repositorySelection,
} from '../../../events/installation.ts';
import { listInstallations as findInstallations } from '../../../projections/installations.ts';
import { etag } from '../conditions.ts';
import { problems } from '../operations.ts';
import { invalid, isProblem, problemOf } from '../problem.ts';
import { readOptionalInteger, readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
/** Characters of an account's login at most. */
const LOGIN_MAX = 255;

const status = z.enum(['active', 'suspended', 'deleted']);

const datedRepositories = z.array(installationRepository.extend({ asOf: z.iso.datetime() }));

const installationBody = z
  .strictObject({
    id: z.string(),
    githubId: z.int().meta({ description: 'The number that GitHub knows it by' }),
    appId: z.int(),
    chittyId: z.string().nullable().meta({ description: 'Null until the ChittyID authority has given it one' }),
    account: installationAccount,
    status,
    repositorySelection,
    repositories: datedRepositories.meta({ description: 'What it may work on, each with GitHub’s time of its adding' }),
    removedRepositories: datedRepositories.meta({ description: 'What was taken away, with the time' }),
    isListed: z.boolean().meta({ description: 'Whether it was heard what it could work on at the beginning' }),
    isTruncated: z.boolean().meta({ description: 'Whether there were more repositories than are kept' }),
    permissions: installationPermissions,
    subscriptions: installationSubscriptions,
    identification: z
      .strictObject({ reason: z.string(), attempt: z.int(), retryAt: z.iso.datetime() })
      .nullable()
      .meta({ description: 'Why it has no ChittyID yet, when that was tried' }),
    asOf: z
      .strictObject({ status: z.iso.datetime(), permissions: z.iso.datetime(), repositorySelection: z.iso.datetime() })
      .meta({ description: 'GitHub’s times of what is known' }),
    version: z.int(),
    createdAt: z.iso.datetime().meta({ description: 'When it was first heard of' }),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Installation' });

/** GET /v1/installations */
export const listInstallations: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/installations',
  access: 'admin.read',
  operation: {
    operationId: 'listInstallations',
    tags: ['integrations'],
    summary: 'Installations of the GitHub App, newest first',
    description: 'Deleted ones too, unless `status` says otherwise.',
    requestParams: {
      query: z.object({
        status: status.optional(),
        account: z.string().min(1).max(LOGIN_MAX).optional().meta({ description: 'The login of the account' }),
        limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
        cursor: z.string().optional().meta({ description: 'nextCursor of the page before' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of installations',
        content: {
          'application/json': {
            schema: z.strictObject({ items: z.array(installationBody), nextCursor: z.string().nullable() }),
          },
        },
      },
      ...problems(400, 401, 403),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, ['status', 'account', 'limit', 'cursor']);
    if (isProblem(query)) return query;
    const wanted = status.optional().safeParse(query.status);
    if (!wanted.success) return invalid('status', 'must be active, suspended or deleted');
    const { account = null, cursor = null } = query;
    if (account !== null && (account.trim() === '' || account.length > LOGIN_MAX)) {
      return invalid('account', `must have 1 to ${LOGIN_MAX} characters; leave it out to have all`);
    }
    const limit = readOptionalInteger('limit', query.limit, LIMIT_DEFAULT, 1, LIMIT_MAX);
    if (isProblem(limit)) return limit;
    if (cursor !== null && !isId(INSTALLATION_PREFIX, cursor)) {
      return invalid('cursor', 'must be the nextCursor of the page before; start without one');
    }
    const filters = { status: wanted.data ?? null, account };
    // One more than the page holds tells whether another follows.
    const found = await findInstallations(exchange.env.DB, filters, limit + 1, cursor);
    const items = found.slice(0, limit);
    const nextCursor = found.length > limit ? (items.at(-1)?.id ?? null) : null;
    const bodies = items.map(({ body }) => body).join(',');
    return jsonText(exchange, 200, `{"items":[${bodies}],"nextCursor":${JSON.stringify(nextCursor)}}`);
  },
};

/** GET /v1/installations/{id} */
export const readInstallation: AuthenticatedRoute = {
  method: 'GET',
  path: '/v1/installations/:id',
  access: 'admin.read',
  operation: {
    operationId: 'readInstallation',
    tags: ['integrations'],
    summary: 'Look at an installation of the GitHub App',
    description: 'One that was deleted is still there, with that status.',
    responses: {
      200: { description: 'The installation', content: { 'application/json': { schema: installationBody } } },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const { request, env } = exchange;
    const query = readQuery(request, []);
    if (isProblem(query)) return query;
    const id = request.params?.id ?? '';
    if (!isId(INSTALLATION_PREFIX, id)) {
      return { problem: 'not-found', detail: 'There is no installation with this id.' };
    }
    const view = await env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id)).view(exchange.principal);
    if (isRefusal(view)) return problemOf(view);
    return jsonText(exchange, 200, view.body, { ETag: etag(view.version) });
  },
};
