import type { MetricFamily } from './openmetrics.ts';

type Outcome = 'consumed' | 'acked' | 'retried';

const counts = new Map<string, Record<Outcome, number>>();

/** The same batch, which counts what its consumer does with the messages. */
export function countedBatch(batch: MessageBatch): MessageBatch {
  const count = counts.get(batch.queue) ?? { consumed: 0, acked: 0, retried: 0 };
  counts.set(batch.queue, count);
  count.consumed += batch.messages.length;
  const messages = batch.messages.map((message): Message => {
    const { id, timestamp, body, attempts } = message;
    return {
      id,
      timestamp,
      body,
      attempts,
      ack() {
        count.acked += 1;
        message.ack();
      },
      retry(options) {
        count.retried += 1;
        message.retry(options);
      },
    };
  });
  return {
    queue: batch.queue,
    metadata: batch.metadata,
    messages,
    ackAll() {
      count.acked += messages.length;
      batch.ackAll();
    },
    retryAll(options) {
      count.retried += messages.length;
      batch.retryAll(options);
    },
  };
}

/** What was counted of all queues. */
export function queueFamily(): MetricFamily {
  return {
    name: 'chittyconnect_queue_messages',
    type: 'counter',
    help: 'Queue messages that this isolate consumed, and what it did with them. What the dead-letter queue acked is kept as a dead letter.',
    samples: [...counts].flatMap(([queue, count]) =>
      Object.entries(count).map(([outcome, value]) => ({ suffix: '_total', labels: { queue, outcome }, value })),
    ),
  };
}
