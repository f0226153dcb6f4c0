import type { ActorEvent } from '../events/actor.ts';
import { nextOf, type Provisioning, stepDone, stepFailed } from './provisioning.ts';

/** The steps by which an actor gets its place in ChittyOS, in their order. */
const ORDER = ['identify', 'initializeDna'] as const;

/** One of the steps. */
export type ActorStep = (typeof ORDER)[number];

/** The event that completes each. */
const COMPLETED_BY = { identify: 'actor_identified', initializeDna: 'dna_initialized' } as const;

/** The events of an actor's provisioning. */
export type ActorProvisioningEvent = Extract<
  ActorEvent,
  { type: 'actor_identified' | 'dna_initialized' | 'provisioning_step_failed' }
>;

/** The first step that is not done, undefined when all are. */
export function nextActorStep({ steps }: Pick<Provisioning, 'steps'>): ActorStep | undefined {
  return nextOf(ORDER, steps);
}

/** Whether a report still is about the step that is next: a step that was made twice is recorded once. */
export function isStepAwaited(event: ActorProvisioningEvent, provisioning: Provisioning): boolean {
  const step = nextActorStep(provisioning);
  if (step === undefined) return false;
  return event.type === 'provisioning_step_failed' ? event.data.step === step : event.type === COMPLETED_BY[step];
}

/** The provisioning after one of its events. */
export function evolveActorProvisioning(
  state: Provisioning,
  event: ActorProvisioningEvent,
  time: string,
): Provisioning {
  switch (event.type) {
    case 'actor_identified':
      return stepDone(ORDER, state, 'identify', time);
    case 'dna_initialized':
      return stepDone(ORDER, state, 'initializeDna', time, event.data.dnaId);
    case 'provisioning_step_failed':
      return stepFailed(state, event.data, time);
    default:
      return event satisfies never;
  }
}
