import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import { sweep } from '../../src/delivery/sweeper.ts';
import { deliverNow } from '../../src/delivery/wake.ts';
import { RecordingSink } from '../support/counter.ts';
import { surrounded } from '../support/delivery.ts';
import { ADMINISTRATOR } from '../support/principals.ts';

it('a sweep leaves what was refused to its time; an administrator who retries does not', async () => {
  const id = 'swept';
  // Streams of the test's own, in the place of contexts.
  const bindings = surrounded({ CONTEXTS: env.COUNTERS });
  const stub = env.COUNTERS.get(env.COUNTERS.idFromName(id));
  const failing = `counter/${id}`;
  RecordingSink.failing.add(failing);
  const cause = { correlationId: 'r', causationId: null, commandId: 'c' };
  await stub.execute({ id, principal: ADMINISTRATOR, command: { type: 'add', amount: 1 }, cause });
  await stub.reportDelivery({ recording: { first: 1, last: 1, failed: 'it is not liked', isRefused: true } });
  RecordingSink.failing.delete(failing);
  await new Directory(env.DIRECTORY).register(`context/${id}`);
  await sweep(bindings);
  expect(RecordingSink.received.get(failing)).toBeUndefined();
  await deliverNow(bindings, `context/${id}`);
  expect(RecordingSink.received.get(failing)).toEqual([1]);
});
