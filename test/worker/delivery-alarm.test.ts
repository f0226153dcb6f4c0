import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { createContext } from '../support/api.ts';
import { objectOf, patch } from '../support/rest.ts';

describe('an alarm that is set for something that waits', () => {
  it('is not put off by a change that comes after the object was evicted', async () => {
    const { id, name } = await createContext();
    const soon = Date.now() + 60_000;
    await runInDurableObject(objectOf(id), (_object, { storage }) => storage.setAlarm(soon));
    await evictDurableObject(objectOf(id));
    // Changes nothing, but its answer is to be forgotten in a day.
    expect((await patch(id, { name }, { 'Idempotency-Key': 'nothing changes' })).status).toBe(200);
    const alarm = await runInDurableObject(objectOf(id), (_object, { storage }) => storage.getAlarm());
    expect(alarm).toBe(soon);
  });
});
