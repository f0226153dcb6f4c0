import { env } from 'cloudflare:workers';
import { as, keyHolder } from './actors.ts';
import { api } from './api.ts';
import { configured, derivedId } from './rest.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const audit = '/v1/audit';

async function withoutScope(): Promise<Response> {
  const { key } = await keyHolder({}, { scopes: ['contexts:read'] });
  return as(key, audit);
}

/** A request to a Worker whose database is out of order. */
function withoutTrail(): Promise<Response> {
  const prepare = () => {
    throw new Error('D1_ERROR: this database is out of order');
  };
  const DB = new Proxy(env.DB, { get: () => prepare });
  return configured({ DB }, audit, { headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } });
}

/** The cases of the audit trail. */
export const auditCases: Case[] = [
  ['readAudit', 200, () => api(`${audit}?limit=20`)],
  ['readAudit', 200, () => api(audit, { headers: { Accept: 'application/x-ndjson' } })],
  ['readAudit', 400, () => api(`${audit}?outcome=x`)],
  ['readAudit', 401, () => api(audit, { headers: { 'X-API-Key': 'wrong' } })],
  ['readAudit', 403, () => withoutScope()],
  ['readAudit', 404, () => api(`${audit}?context=${derivedId('ctx', 'openapi: nobody')}`)],
  ['readAudit', 503, () => withoutTrail()],
];
