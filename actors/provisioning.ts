import type { ContextEvent, ProvisioningStep } from '../events/context.ts';
import type { Recorded } from './decider.ts';

/** How far one step has come. */
type StepState = {
  readonly status: 'done' | 'failed';
  /** When it was done, or failed last. */
  readonly at: string;
  /** For a failed one: how often in a row, why the last time, and when it is tried again. */
  readonly attempt?: number;
  readonly reason?: string;
  readonly retryAt?: string;
  /** For a done one: the id that the other service gave out. */
  readonly reference?: string;
};

/** What an event says of a step that failed. */
export interface StepFailure {
  readonly step: ProvisioningStep;
  readonly reason: string;
  readonly attempt: number;
  readonly retryAt: string;
}

/** How far a context's or an actor's place in ChittyOS has been made; steps that were not tried yet are not in `steps`. */
export type Provisioning = {
  readonly status: 'pending' | 'failing' | 'complete';
  readonly steps: { readonly [Step in ProvisioningStep]?: StepState };
};

/** The events that tell of provisioning: bookkeeping, which changes nothing that a person wrote. */
export type ProvisioningEvent = Extract<
  ContextEvent,
  {
    type:
      | 'context_identified'
      | 'dna_initialized'
      | 'api_keys_issued'
      | 'context_registered'
      | 'context_verified'
      | 'context_certified'
      | 'provisioning_step_failed'
      | 'provisioning_retried';
  }
>;

/** Tells the events of provisioning from the others. */
export function isProvisioning(type: ContextEvent['type']): type is ProvisioningEvent['type'] {
  switch (type) {
    case 'context_identified':
    case 'dna_initialized':
    case 'api_keys_issued':
    case 'context_registered':
    case 'context_verified':
    case 'context_certified':
    case 'provisioning_step_failed':
    case 'provisioning_retried':
      return true;
    default:
      return false;
  }
}

/** The steps in their order. */
const ORDER: readonly ProvisioningStep[] = [
  'identify',
  'initializeDna',
  'issueApiKeys',
  'register',
  'verify',
  'certify',
];

/** Where provisioning begins. */
export const unprovisioned: Provisioning = { status: 'pending', steps: {} };

/** The first step that is not done, undefined when all are. */
export function nextStep({ steps }: Pick<Provisioning, 'steps'>): ProvisioningStep | undefined {
  return nextOf(ORDER, steps);
}

/** The first of some steps that is not done, undefined when all are. */
export function nextOf<Name extends ProvisioningStep>(
  order: readonly Name[],
  steps: Provisioning['steps'],
): Name | undefined {
  return order.find((step) => steps[step]?.status !== 'done');
}

/** The provisioning after one of its events. */
export function evolveProvisioning(state: Provisioning, event: Recorded<ProvisioningEvent>): Provisioning {
  switch (event.type) {
    case 'context_identified':
      return done(state, 'identify', event.time);
    case 'dna_initialized':
      return done(state, 'initializeDna', event.time, event.data.dnaId);
    case 'api_keys_issued':
      return done(state, 'issueApiKeys', event.time, event.data.keyId);
    case 'context_registered':
      return done(state, 'register', event.time);
    case 'context_verified':
      return done(state, 'verify', event.time, event.data.verificationId);
    case 'context_certified':
      return done(state, 'certify', event.time, event.data.certificateId);
    case 'provisioning_step_failed':
      return stepFailed(state, event.data, event.time);
    case 'provisioning_retried': {
      const step = nextStep(state);
      const failed = step && state.steps[step];
      if (!failed) return state;
      return { ...state, steps: { ...state.steps, [step]: { ...failed, attempt: 0, retryAt: event.time } } };
    }
    default:
      return event satisfies never;
  }
}

function done(state: Provisioning, step: ProvisioningStep, at: string, reference?: string): Provisioning {
  return stepDone(ORDER, state, step, at, reference);
}

/** The provisioning after a step was done. @param order the steps that there are for this kind of thing */
export function stepDone(
  order: readonly ProvisioningStep[],
  state: Provisioning,
  step: ProvisioningStep,
  at: string,
  reference?: string,
): Provisioning {
  const steps = {
    ...state.steps,
    [step]: { status: 'done' as const, at, ...(reference !== undefined && { reference }) },
  };
  return { status: nextOf(order, steps) === undefined ? 'complete' : 'pending', steps };
}

/** The provisioning after a step failed. */
export function stepFailed(
  state: Provisioning,
  { step, attempt, reason, retryAt }: StepFailure,
  at: string,
): Provisioning {
  const failed: StepState = { status: 'failed', at, attempt, reason, retryAt };
  return { ...state, status: 'failing', steps: { ...state.steps, [step]: failed } };
}
