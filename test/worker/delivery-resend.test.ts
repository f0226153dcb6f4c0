import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { expectInvalid, expectProblem, objectOf } from '../support/rest.ts';

const retry = (id: string, json?: unknown) =>
  api(`/v1/admin/outbox/context/${id}/retry`, {
    method: 'POST',
    ...(json !== undefined && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(json) }),
  });

const isListed = async (id: string) =>
  (await env.DB.prepare('SELECT 1 FROM contexts WHERE id = ?').bind(id).first()) !== null;

/** A context that the read models have lost, though they had confirmed it. */
async function lostContext(): Promise<string> {
  const { id } = await createContext();
  expect(await objectOf(id).whenDelivered('d1', 1, 10_000)).toBe(true);
  await env.DB.prepare('DELETE FROM contexts WHERE id = ?').bind(id).run();
  expect(await isListed(id)).toBe(false);
  return id;
}

describe('POST /v1/admin/outbox/{stream}/retry', () => {
  it('sends nothing again that was confirmed, unless it is told from where', async () => {
    const id = await lostContext();
    expect((await retry(id)).status).toBe(204);
    expect(await isListed(id)).toBe(false);
    expect((await retry(id, { destination: 'd1', from: 1 })).status).toBe(204);
    expect(await isListed(id)).toBe(true);
    expect(await objectOf(id).outboxCursors()).toMatchObject({ d1: { confirmed: 1, attempts: 0 } });
  });

  it('has the log told once more, which says what it has', async () => {
    const { id } = await createContext();
    expect(await objectOf(id).whenDelivered('log', 1, 20_000)).toBe(true);
    expect((await retry(id, { destination: 'log', from: 1 })).status).toBe(204);
    expect(await objectOf(id).whenDelivered('log', 1, 20_000)).toBe(true);
  }, 45_000);

  it('from a version that has not come yet changes nothing', async () => {
    const id = await lostContext();
    expect((await retry(id, { destination: 'd1', from: 1_000 })).status).toBe(204);
    expect(await objectOf(id).outboxCursors()).toMatchObject({ d1: { confirmed: 1 } });
  });

  it('says what is wrong with what it is told', async () => {
    const { id } = await createContext();
    await expectInvalid(
      await retry(id, { destination: 'nowhere', from: 1 }),
      '/destination',
      'must be a destination of this stream',
    );
    await expectInvalid(await retry(id, { destination: 'd1' }), '/from', 'goes together with destination');
    for (const json of [{ from: 1 }, { destination: 'd1', from: 0 }, { destination: 'd1', from: 1.5 }, { to: 1 }, []]) {
      await expectProblem(await retry(id, json), 400, 'invalid');
    }
  });
});
