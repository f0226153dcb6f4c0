import type { Actor, ActorCommand, ActorState } from '../../actors/actor.ts';
import { type ActorProvisioningEvent, type ActorStep, nextActorStep } from '../../actors/actor-provisioning.ts';
import type { Process } from '../../actors/process.ts';
import type { CallResult } from '../chittyos/failure.ts';
import type { ChittyOs } from '../chittyos/services.ts';
import { traceparentOf } from '../trace.ts';
import { dnaRecordOf } from './dna-record.ts';
import { dueAt, failedStep, map, type Trace } from './provisioning.ts';

/**
 * How an actor gets its place in ChittyOS: an identity from the authority and a DNA record. As with contexts, each step
 * can be made twice and no second ChittyID is ever minted for one actor.
 */
export function actorProvisioningProcess(services: ChittyOs): Process<ActorState, ActorCommand> {
  return {
    next(state) {
      if (state === null || state.status === 'deleted') return null;
      const step = nextActorStep(state.provisioning);
      if (step === undefined) return null;
      return {
        dueAt: dueAt(state.provisioning, step),
        async perform(correlationId) {
          const trace = { traceparent: traceparentOf(correlationId) };
          return { type: 'recordProvisioning', event: await makeStep(step, state, services, trace) };
        },
      };
    },
  };
}

async function makeStep(
  step: ActorStep,
  actor: Actor,
  services: ChittyOs,
  trace: Trace,
): Promise<ActorProvisioningEvent> {
  const result = await outcome(step, actor, services, trace);
  if (result.ok) return result.value;
  return { type: 'provisioning_step_failed', data: failedStep(step, actor.provisioning, result.failure) };
}

async function outcome(
  step: ActorStep,
  { id, kind, chittyId, createdAt }: Actor,
  services: ChittyOs,
  trace: Trace,
): Promise<CallResult<ActorProvisioningEvent>> {
  const metadata = { actorId: id };
  switch (step) {
    case 'identify': {
      // Every actor is a Person to the authority; one that is not of flesh and blood is a synthetic one, as contexts are.
      const request = { entity: 'P', metadata, ...(kind !== 'person' && { characterization: 'Synthetic' }) } as const;
      return map(await services.id.mint(request, { ...trace, idempotencyKey: `${id}:${step}` }), (minted) => ({
        type: 'actor_identified',
        data: { chittyId: minted.id, did: minted.did },
      }));
    }
    case 'initializeDna': {
      const request = dnaRecordOf('actor', { id, chittyId, createdAt });
      return map(await services.dna.initialize(request, trace), ({ id: dnaId }) => ({
        type: 'dna_initialized',
        data: { dnaId },
      }));
    }
    default:
      return step satisfies never;
  }
}
