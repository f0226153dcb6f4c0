import { OUTCOMES, type Outcome } from '../../actors/webhook-outcome.ts';
import type { MetricFamily } from './openmetrics.ts';

const counts = new Map<Outcome, number>();

/** Counts an attempt at a delivery. */
export function noteAttempt(outcome: Outcome): void {
  counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
}

/** What was counted. */
export function webhookFamily(): MetricFamily {
  return {
    name: 'chittyconnect_webhook_attempts',
    type: 'counter',
    help: 'Attempts of this isolate at sending something to a webhook, by how they ended.',
    samples: OUTCOMES.map((outcome) => ({ suffix: '_total', labels: { outcome }, value: counts.get(outcome) ?? 0 })),
  };
}
