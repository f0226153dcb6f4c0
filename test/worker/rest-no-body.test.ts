import { describe, expect, it } from 'vitest';
import { routes } from '../../src/http/routes.ts';
import { api, createContext } from '../support/api.ts';
import { expectProblem, withNothingWritten } from '../support/rest.ts';

const CHANGES = ['POST', 'PATCH', 'PUT', 'DELETE'];

/** The routes that change something and take no body. */
const bodiless = routes.filter(({ method, operation }) => CHANGES.includes(method) && !operation.requestBody);

const named = bodiless.map(({ method, path, operation }) => [operation.operationId ?? '', method, path] as const);

describe('a route that takes no body', () => {
  it('is one of many', () => {
    const some = [
      'deleteContext',
      'restoreContext',
      'acceptInvitation',
      'approveProposal',
      'issueTicket',
      'disconnect',
    ];
    expect(named.map(([operationId]) => operationId)).toEqual(expect.arrayContaining(some));
  });

  it.each(named)('refuses one that says something: %s', async (_operation, method, path) => {
    const address = path.replaceAll(/:\w+\+?/g, 'x');
    for (const [body, problem] of [
      ['{"reason":"because"}', 'invalid'],
      ['{', 'malformed-body'],
      ['[]', 'invalid'],
    ] as const) {
      const { detail } = await expectProblem(await api(address, { method, body }), 400, problem);
      expect(detail).toMatch(/This address takes no body\.$/);
    }
  });

  it('does nothing then', async () => {
    const { id } = await createContext();
    const sent = withNothingWritten(id, () => api(`/v1/contexts/${id}`, { method: 'DELETE', json: { reason: 'old' } }));
    const { errors } = await expectProblem(await sent, 400, 'invalid');
    expect(errors).toEqual([{ pointer: '/reason', message: 'is not a known field; leave it out' }]);
  });

  it('takes none, an empty one, and an empty object', async () => {
    const { id } = await createContext();
    const path = `/v1/contexts/${id}/tickets`;
    const json = { 'Content-Type': 'application/json' };
    for (const init of [
      {},
      { headers: json },
      { body: '' },
      { body: '', headers: json },
      { json: {} },
      { body: '{}' },
    ]) {
      expect((await api(path, { method: 'POST', ...init })).status).toBe(201);
    }
  });

  it('says of one that is too long that it is', async () => {
    const { id } = await createContext();
    const body = new Uint8Array(1024 * 1024 + 1);
    await expectProblem(await api(`/v1/contexts/${id}/tickets`, { method: 'POST', body }), 413, 'body-too-large');
  });

  it('asks first who sends it', async () => {
    const { id } = await createContext();
    const sent = api(`/v1/contexts/${id}`, { method: 'DELETE', json: { a: 1 }, headers: { 'X-API-Key': 'wrong' } });
    await expectProblem(await sent, 401, 'unauthorized');
  });
});
