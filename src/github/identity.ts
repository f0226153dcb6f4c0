import { backoffMs } from '../../actors/backoff.ts';
import type { InstallationCommand, InstallationState } from '../../actors/installation.ts';
import type { Process } from '../../actors/process.ts';
import type { ChittyOs } from '../chittyos/services.ts';
import { retriedAt } from '../delivery/provisioning.ts';
import { traceparentOf } from '../trace.ts';

/** The pause after a failure; each is an event, so it grows to a length that does not fill the log. */
const BACKOFF_MS = { base: 1_000, cap: 15 * 60_000 };
/** Characters of a reason that are kept. */
const REASON_CHARS = 500;

/**
 * How an installation gets its ChittyID: asked for with the same Idempotency-Key however often, so that none is minted
 * twice. One that was deleted is not given one any more.
 */
export function identityProcess(services: ChittyOs): Process<InstallationState, InstallationCommand> {
  return {
    next(state) {
      if (state === null || state.chittyId !== null || state.status === 'deleted') return null;
      const { id, githubId, identification } = state;
      return {
        dueAt: retriedAt(identification?.retryAt),
        async perform(correlationId) {
          // An installation is a Thing.
          const request = { entity: 'T', metadata: { installationId: id, githubInstallationId: githubId } } as const;
          const traceparent = traceparentOf(correlationId);
          const minted = await services.id.mint(request, { traceparent, idempotencyKey: `${id}:identify` });
          if (minted.ok) {
            const { id: chittyId, did } = minted.value;
            return {
              type: 'recordIdentification',
              event: { type: 'installation_identified', data: { chittyId, did } },
            };
          }
          const attempt = (identification?.attempt ?? 0) + 1;
          const { service, detail, retryAfterMs = 0 } = minted.failure;
          const pause = Math.max(backoffMs(attempt, BACKOFF_MS), retryAfterMs);
          const data = {
            reason: `${service}: ${detail}`.slice(0, REASON_CHARS),
            attempt,
            retryAt: new Date(Date.now() + pause).toISOString(),
          };
          return { type: 'recordIdentification', event: { type: 'installation_identification_failed', data } };
        },
      };
    },
  };
}
