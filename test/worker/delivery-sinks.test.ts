import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ContextState } from '../../actors/context.ts';
import type { Delivery } from '../../actors/outbox.ts';
import { messageSchema } from '../../src/delivery/cloud-event.ts';
import { queueSink } from '../../src/delivery/sinks.ts';
import { FakeQueue, surrounded } from '../support/delivery.ts';
import { contextState } from '../support/search.ts';

/** Bytes that the platform takes in one message. */
const MESSAGE_MAX_BYTES = 128_000;

const provisioned = contextState(1, {
  chittyId: '03-1-USA-5537-P-2602-0-38',
  provisioning: { status: 'pending', steps: { initializeDna: { status: 'done', at: '', reference: 'dna_1' } } },
});

/** Hands events to the sink, each with a description, and gives the message that comes of it. */
async function send(
  descriptions: readonly string[],
  more: Partial<Delivery<ContextState>> = {},
): Promise<{ message: z.infer<typeof messageSchema>; sent: number }> {
  const queue = new FakeQueue();
  const progress = await queueSink(surrounded({ CONTEXT_OPS_QUEUE: queue }).CONTEXT_OPS_QUEUE).deliver({
    stream: `context/${provisioned.id}`,
    state: provisioned,
    version: descriptions.length,
    destinations: ['chronicle', 'dna'],
    generation: 0,
    eventsBefore: () => [],
    events: () =>
      descriptions.map((description, index) => ({
        version: index + 1,
        text: JSON.stringify({
          id: `event-${index + 1}`,
          stream: `context/${provisioned.id}`,
          version: index + 1,
          type: 'context_updated',
          schemaVersion: 1,
          time: '2026-02-01T12:00:00.000Z',
          actor: 'act_1',
          // The second one was made with rights that were handed on.
          ...(index === 1 && { onBehalfOf: 'act_2', credential: 'dlg_1' }),
          correlationId: 'r',
          causationId: null,
          commandId: 'c',
          data: { description },
          leafHash: '0'.repeat(64),
        }),
      })),
    ...more,
  });
  const { sent } = z.object({ sent: z.int() }).parse(progress);
  return { message: messageSchema.parse(queue.sent[0]), sent };
}

const bytesOf = (message: unknown) => new TextEncoder().encode(JSON.stringify(message)).length;

describe('a message to the queue', () => {
  it('carries the events of a stream as CloudEvents, in order, with what is known of the stream', async () => {
    const { message, sent } = await send(['a', 'b']);
    expect(sent).toBe(2);
    expect(message[1]).toEqual({
      specversion: '1.0',
      id: 'event-2',
      source: `/v1/contexts/${provisioned.id}`,
      type: 'cc.chitty.connect.context_updated',
      subject: provisioned.id,
      time: '2026-02-01T12:00:00.000Z',
      datacontenttype: 'application/json',
      sequence: '2',
      actor: 'act_1',
      onbehalfof: 'act_2',
      credentialid: 'dlg_1',
      correlationid: 'r',
      commandid: 'c',
      schemaversion: 1,
      leafhash: '0'.repeat(64),
      chittyid: '03-1-USA-5537-P-2602-0-38',
      dnaid: 'dna_1',
      data: { description: 'b' },
    });
    expect(message[0]).not.toHaveProperty('onbehalfof');
    expect(message.some((event) => 'deliverto' in event)).toBe(false);
  });

  it('says which destination it is for when it is not for both', async () => {
    const { message } = await send(['a', 'b'], { destinations: ['dna'] });
    expect(message.map(({ deliverto }) => deliverto)).toEqual(['dna', undefined]);
  });

  it('says in its first event which resend it came of, when there was one', async () => {
    const marks = async (more: Partial<Delivery<ContextState>>) =>
      (await send(['a', 'b'], more)).message.map(({ generation }) => generation);
    expect(await marks({ generation: 2 })).toEqual([2, undefined]);
    expect(await marks({})).toEqual([undefined, undefined]);
  });

  it('says so when it ends where the log ends and the context is deleted, and only then', async () => {
    const state = { ...provisioned, status: 'deleted' as const };
    const marks = async (more: Partial<Delivery<ContextState>>) =>
      (await send(['a', 'b'], more)).message.map(({ isdeleted }) => isdeleted);
    expect(await marks({ state })).toEqual([undefined, true]);
    expect(await marks({ state, version: 3 })).toEqual([undefined, undefined]);
    expect(await marks({})).toEqual([undefined, undefined]);
  });

  it('says in its last event whether the log has more', async () => {
    const marks = async (count: number, version: number) => {
      const { message } = await send(Array<string>(count).fill('x'.repeat(30_000)), { version });
      return message.map(({ hasmore }) => hasmore);
    };
    expect(await marks(2, 2)).toEqual([undefined, undefined]);
    expect(await marks(2, 3)).toEqual([undefined, true]);
    expect(await marks(6, 6)).toEqual([undefined, undefined, true]);
  });

  it('is for everybody there is while there is no DNA record', async () => {
    const { message } = await send(['a'], { destinations: ['chronicle'], state: contextState(1) });
    expect(message[0]).not.toHaveProperty('deliverto');
    expect(message[0]).not.toHaveProperty('dnaid');
  });

  it.each(['x', '界', '\u0001', '😀'])('never has more bytes than the queue takes (%j)', async (character) => {
    const { message, sent } = await send(Array<string>(40).fill(character.repeat(5_000)));
    expect(bytesOf(message)).toBeLessThanOrEqual(MESSAGE_MAX_BYTES);
    expect(sent).toBe(message.length);
    expect(sent).toBeGreaterThan(1);
    expect(sent).toBeLessThan(40);
  });

  it('says where the data is when one event alone is longer than that', async () => {
    const { message, sent } = await send(['界'.repeat(50_000), 'short']);
    expect(sent).toBe(1);
    expect(message[0]).toMatchObject({ id: 'event-1', dataref: `/v1/contexts/${provisioned.id}/events` });
    expect(message[0]).not.toHaveProperty('data');
  });
});
