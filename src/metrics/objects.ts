import { appendedEvents, drainLags, LAG_BUCKETS_MS } from '../../actors/measures.ts';
import { histogramSamples, type MetricFamily } from './openmetrics.ts';

/** What the objects of this isolate did: how much they appended, and how soon it arrived. */
export function objectFamilies(): MetricFamily[] {
  return [
    {
      name: 'chittyconnect_events_appended',
      type: 'counter',
      help: 'Events that objects of this isolate appended to their logs, by the type of the stream.',
      samples: [...appendedEvents()].map(([stream, value]) => ({ suffix: '_total', labels: { stream }, value })),
    },
    {
      name: 'chittyconnect_outbox_lag_seconds',
      type: 'histogram',
      unit: 'seconds',
      help: 'Time from the append of an event to its confirmation by a destination, in objects of this isolate: of one event after the other in each stream.',
      samples: [...drainLags()].flatMap(([destination, { buckets, sumMs }]) =>
        histogramSamples({ destination }, LAG_BUCKETS_MS, buckets, sumMs),
      ),
    },
  ];
}
