import { createExecutionContext, createMessageBatch, getQueueResult } from 'cloudflare:test';
import { expect, it, vi } from 'vitest';
import { openMetricsText } from '../../src/metrics/openmetrics.ts';
import { countedBatch, queueFamily } from '../../src/metrics/queue.ts';
import { parseOpenMetrics, sampleValue } from '../support/openmetrics.ts';

function counts(queue: string) {
  const families = parseOpenMetrics(openMetricsText([queueFamily()]));
  return ['consumed', 'acked', 'retried'].map((outcome) =>
    sampleValue(families, 'chittyconnect_queue_messages_total', { queue, outcome }),
  );
}

const message = (id: string) => ({ id, timestamp: new Date(0), attempts: 1, body: { id } });

it('says nothing of a queue of which nothing came', () => {
  expect(counts('quiet')).toEqual([undefined, undefined, undefined]);
});

it('counts what a consumer does with each message, and does it', async () => {
  const batch = createMessageBatch('some', [message('a'), message('b'), message('c')]);
  const [first, second, third] = countedBatch(batch).messages;
  expect(first).toMatchObject(message('a'));
  first?.ack();
  second?.retry({ delaySeconds: 7 });
  expect(counts('some')).toEqual([3, 1, 1]);
  third?.ack();
  const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
  expect(explicitAcks).toEqual(['a', 'c']);
  expect(retryMessages).toEqual([{ msgId: 'b' }]);
});

it('hands on how long a message is to wait', () => {
  const { metadata } = createMessageBatch('waiting', []);
  const own = { ack: vi.fn(), retry: vi.fn() };
  const all = { ackAll: vi.fn(), retryAll: vi.fn() };
  const batch = countedBatch({ queue: 'waiting', metadata, messages: [{ ...message('a'), ...own }], ...all });
  batch.messages[0]?.retry({ delaySeconds: 7 });
  batch.retryAll({ delaySeconds: 8 });
  expect(own.retry).toHaveBeenCalledWith({ delaySeconds: 7 });
  expect(all.retryAll).toHaveBeenCalledWith({ delaySeconds: 8 });
});

it('counts all messages when all are let go or kept at once', async () => {
  const kept = createMessageBatch('all', [message('a'), message('b')]);
  countedBatch(kept).retryAll();
  countedBatch(createMessageBatch('all', [message('c')])).ackAll();
  expect(counts('all')).toEqual([3, 1, 2]);
  expect((await getQueueResult(kept, createExecutionContext())).retryBatch.retry).toBe(true);
});
