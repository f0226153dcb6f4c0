import { derivedId } from '../../events/id.ts';
import { api } from './api.ts';
import { contextOf, type Person, person, share } from './sharing.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const nobody = `/v1/contexts/${derivedId('ctx', 'privacy cases: nobody')}`;
const wrongKey = { 'X-API-Key': 'wrong' };
const stale = { 'If-Match': '"99"' };
const rules = [{ pointer: '/metadata/customer', subject: 'customer-42' }];

let people: Promise<readonly [Person, Person]> | null = null;

/** A context that holds words of a customer; Vic may read it. */
async function team(): Promise<{ readonly ann: Person; readonly vic: Person; readonly context: string }> {
  people ??= Promise.all([person('Ann'), person('Vic')]);
  const [ann, vic] = await people;
  const context = await contextOf(ann, { metadata: { customer: 'Hedwig' }, privacy: rules });
  await share(ann, context, vic, 'viewer');
  return { ann, vic, context };
}

/** What a route below a context answers. @param success its status when it does what it is asked for */
function below(operationId: string, method: string, path: string, success: number, json?: object): Case[] {
  const init = { method, ...(json && { json }) };
  return [
    [operationId, success, async () => api(`${(await team()).context}${path}`, init)],
    [operationId, 400, async () => api(`${(await team()).context}${path}?x=1`, init)],
    [operationId, 401, () => api(`${nobody}${path}`, { ...init, headers: wrongKey })],
    [operationId, 403, async () => team().then(({ vic, context }) => vic.call(`${context}${path}`, init))],
    [operationId, 404, () => api(`${nobody}${path}`, init)],
    ...(method === 'GET'
      ? []
      : [[operationId, 412, async () => api(`${(await team()).context}${path}`, { ...init, headers: stale })] as Case]),
  ];
}

async function held(): Promise<string> {
  const { context } = await team();
  await api(`${context}/legal-hold`, { method: 'PUT', json: { reason: 'a case' } });
  return context;
}

const erasure = { subject: 'customer-42' };

async function eraseSomebody(headers = {}): Promise<Response> {
  const { id } = await person('Hedwig');
  return api('/v1/erasures', { method: 'POST', json: { subject: id }, headers });
}

async function eraseTwice(): Promise<Response> {
  const { id } = await person('Hedwig');
  const erase = () => api('/v1/erasures', { method: 'POST', json: { subject: id } });
  await erase();
  return erase();
}

/** The cases of privacy. */
export const privacyCases: Case[] = [
  ...below('readPrivacy', 'GET', '/privacy', 200),
  ['readPrivacy', 200, async () => api(`${(await team()).context}/privacy?at=1`)],
  ...below('setPrivacyRules', 'PUT', '/privacy', 200, { rules }),
  ...below('setRetention', 'PUT', '/retention', 200, { days: 30, after: 'deletion' }),
  ...below('placeHold', 'PUT', '/legal-hold', 200, { reason: 'a case' }),
  ...below('liftHold', 'DELETE', '/legal-hold', 404),
  ['liftHold', 200, async () => api(`${await held()}/legal-hold`, { method: 'DELETE' })],
  ...below('endRetention', 'DELETE', '/retention', 404),
  [
    'endRetention',
    200,
    async () => {
      const { context } = await team();
      await api(`${context}/retention`, { method: 'PUT', json: { days: 1, after: 'change' } });
      return api(`${context}/retention`, { method: 'DELETE' });
    },
  ],
  ...below('eraseInContext', 'POST', '/erasures', 201, erasure),
  ['eraseInContext', 409, async () => api(`${await held()}/erasures`, { method: 'POST', json: erasure })],
  ['eraseActor', 201, () => eraseSomebody()],
  ['eraseActor', 400, () => api('/v1/erasures', { method: 'POST', json: { subject: '' } })],
  ['eraseActor', 401, () => api('/v1/erasures', { method: 'POST', json: erasure, headers: wrongKey })],
  ['eraseActor', 403, async () => (await person('Ann')).post('/v1/erasures', { subject: (await person('Bob')).id })],
  ['eraseActor', 404, () => api('/v1/erasures', { method: 'POST', json: erasure })],
  ['eraseActor', 409, () => eraseTwice()],
  ['eraseActor', 412, () => eraseSomebody(stale)],
  [
    'readErasure',
    200,
    async () => {
      const record: { subject: string } = await (await eraseSomebody()).json();
      return api(`/v1/erasures/${record.subject}`);
    },
  ],
  ['readErasure', 400, async () => api(`/v1/erasures/${(await person('Ann')).id}?x=1`)],
  ['readErasure', 401, () => api('/v1/erasures/me', { headers: wrongKey })],
  ['readErasure', 403, async () => (await person('Ann')).call(`/v1/erasures/${(await person('Bob')).id}`)],
  ['readErasure', 404, async () => api(`/v1/erasures/${(await person('Ann')).id}`)],
];
