import type { Env } from '../env.ts';

/** The one registry that there is. */
export function webhookRegistry({ WEBHOOK_REGISTRY }: Env) {
  return WEBHOOK_REGISTRY.get(WEBHOOK_REGISTRY.idFromName('webhooks'));
}
