import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ARRIVAL_MS,
  chronicle,
  create,
  discard,
  dna,
  expectArrived,
  expectEachMintedOnce,
  fault,
  get,
  hurry,
  mend,
  outboxSchema,
  read,
  rename,
  start,
} from '../support/delivery-server.ts';
import { waitFor } from '../support/server.ts';

beforeAll(start);

afterAll(discard);

describe('while ChittyOS is down', () => {
  it('contexts are made, changed and found; afterwards everything arrives once', async () => {
    const before = await create('There before');
    await expectArrived(before.id);
    await fault('all', { outage: true });
    const during = await create('Made meanwhile');
    for (let round = 1; round <= 3; round++) {
      for (const { id } of [before, during]) {
        await rename(id, `Renamed ${round}`);
        await hurry(id);
      }
    }
    expect(await read(during.id)).toMatchObject({ name: 'Renamed 3', chittyId: null });
    await waitFor(
      'the outbox to say what is behind and why',
      async () => {
        await hurry(before.id);
        const { destinations, behind } = await get('/v1/admin/outbox', outboxSchema);
        return (
          behind.some(({ stream }) => stream === `context/${before.id}`) &&
          destinations.some(({ destination, lastError }) => destination === 'chronicle' && lastError !== null)
        );
      },
      ARRIVAL_MS,
    );

    await mend();
    for (const { id } of [before, during]) await expectArrived(id, { isHurried: true });
    await waitFor(
      'the outbox to be empty',
      async () => (await get('/v1/admin/outbox', outboxSchema)).behind.length === 0,
      ARRIVAL_MS,
    );
    await expectEachMintedOnce();
  });

  it('of two services only one: the other goes on, and the one that was down misses nothing', async () => {
    for (const service of ['dna', 'chronicle']) {
      const { id } = await create(`Without ${service}`);
      await expectArrived(id);
      await fault(service, { outage: true });
      for (let round = 1; round <= 2; round++) {
        await rename(id, `Without ${service} ${round}`);
        const context = await read(id);
        await waitFor(
          'the other one to have it',
          async () => {
            const there = await (service === 'dna' ? chronicle(id) : dna(context));
            return there.length === context.version;
          },
          ARRIVAL_MS,
        );
      }
      await mend();
      await rename(id, 'Both again');
      await expectArrived(id, { isHurried: true });
    }
  });
});
