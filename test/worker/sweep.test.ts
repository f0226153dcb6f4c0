import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import { Directory } from '../../actors/directory.ts';
import type { DirectoryObject } from '../../actors/directory-object.ts';
import { shardOf } from '../../events/spread.ts';
import { sweep } from '../../src/delivery/sweeper.ts';
import { deliverNow, wake } from '../../src/delivery/wake.ts';
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

it('a stream that cannot be woken keeps none of the others of its shard from it', async () => {
  const shard = 'directory/3';
  const directory = env.DIRECTORY.get(env.DIRECTORY.idFromName(shard));
  const streams = Array.from({ length: 100 }, (_, index) => `context/wakeable-${index}`);
  const together = streams.filter((stream) => `directory/${shardOf(stream, 16)}` === shard).sort();
  const [ill = '', ...others] = together;
  expect(others.length).toBeGreaterThan(2);
  for (const stream of together) await directory.register(stream);
  await directory.noteBehind(ill, {});
  const woken: string[] = [];
  const contexts = {
    idFromName: (id: string) => `context/${id}`,
    get: (stream: string) => ({
      wake: async () => {
        if (stream === ill) throw new Error('its history cannot be read now');
        woken.push(stream);
        return true;
      },
    }),
  };
  await sweep(surrounded({ CONTEXTS: contexts }));
  expect(woken).toEqual(expect.arrayContaining(others));
  // Nobody knows that it has caught up.
  expect((await directory.behind(10)).map(({ stream }) => stream)).toEqual([ill]);
});

it('a stream that was registered and never written has nothing to deliver', async () => {
  await new Directory(env.DIRECTORY).register('context/unwritten');
  await expect(wake(env, 'context/unwritten')).resolves.toBe(true);
  await expect(deliverNow(env, 'context/unwritten')).resolves.toBeUndefined();
});

it('streams that stand still have their turn one after the other, however many cannot be woken', async () => {
  const directory = env.DIRECTORY.get(env.DIRECTORY.idFromName('directory/of-many'));
  const streams = Array.from({ length: 120 }, (_, index) => `context/standing-${index}`);
  const swept = await runInDurableObject(directory, (object: DirectoryObject, { storage }) => {
    for (const stream of streams) object.noteBehind(stream, {});
    // So long ago that they are left to their alarms no more.
    storage.sql.exec('UPDATE behind SET reported_at = 0');
    return [1, 2, 3].flatMap(() => object.sweep());
  });
  expect(swept.toSorted()).toEqual(streams.toSorted());
});

it('a stream that was reported before the clock was put back is not left to an alarm which may be as far off', async () => {
  const directory = env.DIRECTORY.get(env.DIRECTORY.idFromName('directory/of-the-future'));
  await runInDurableObject(directory, (object: DirectoryObject, { storage }) => {
    object.noteBehind('context/reported-just-now', {});
    object.noteBehind('context/reported-tomorrow', {});
    const stream = 'context/reported-tomorrow';
    storage.sql.exec('UPDATE behind SET reported_at = reported_at + 86400000 WHERE stream = ?', stream);
    expect(object.sweep()).toEqual([stream]);
    expect(object.sweep()).toEqual([]);
  });
});
