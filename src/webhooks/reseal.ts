import { listWebhooks } from '../../projections/webhooks.ts';
import type { Env } from '../env.ts';

/** Webhooks that are asked at once. */
const AT_ONCE = 50;

/**
 * Has the secrets of all webhooks encrypted anew, under the present KEY_ENCRYPTION_KEY.
 *
 * @returns false when one of them cannot be opened
 */
export async function resealWebhooks(env: Env): Promise<boolean> {
  let isWhole = true;
  for (let before: string | undefined; ; ) {
    const query = { owner: null, among: null, limit: AT_ONCE, ...(before !== undefined && { before }) };
    const found = await listWebhooks(env.DB, query);
    const done = await Promise.all(
      found.map(({ id }) => env.WEBHOOKS.get(env.WEBHOOKS.idFromName(id)).resealSecrets()),
    );
    isWhole &&= done.every((each) => each);
    before = found.at(-1)?.id;
    if (found.length < AT_ONCE || before === undefined) return isWhole;
  }
}
