import { backoffMs } from '../../actors/backoff.ts';
import type { Context, ContextCommand, ContextState } from '../../actors/context.ts';
import type { Process } from '../../actors/process.ts';
import { nextStep, type Provisioning, type ProvisioningEvent, type StepFailure } from '../../actors/provisioning.ts';
import type { ProvisioningStep } from '../../events/context.ts';
import type { CallOptions } from '../chittyos/call.ts';
import type { CallResult, Failure } from '../chittyos/failure.ts';
import type { ChittyOs } from '../chittyos/services.ts';
import { traceparentOf } from '../trace.ts';
import { dnaRecordOf } from './dna-record.ts';

/** The trace that a step's call belongs to: that of the request which the stream came of. */
export type Trace = Required<Pick<CallOptions, 'traceparent'>>;

/** The pause after a failed step; every failure is an event, so it grows to a length that does not fill the log. */
const BACKOFF_MS = { base: 1_000, cap: 15 * 60_000 };
/** Characters of a reason that are kept. */
const REASON_CHARS = 500;

/** What a context's own API keys may do. */
const KEY_SCOPES = ['contexts:read', 'contexts:write'];
/** The rules that a context keeps by being kept here. */
const COMPLIANT_WITH = ['chittyos-v1'];
/** The security level of a context whose metadata says nothing else. */
const SECURITY_LEVEL = 'standard';
/** What ChittyVerify says of a context that it has found to be in order; whatever else it says is not that. */
const VERIFIED = 'verified';
/** Capabilities that ChittyRegistry takes of one entry: half of what a context with all its systems and tools may have. */
const CAPABILITIES_MAX = 100;

/**
 * How a context gets its place in ChittyOS: an identity from the authority, a DNA record, keys, an entry in the
 * registry, a verification and a certificate, one after the other. Every step can be made twice: its requests carry an
 * Idempotency-Key that is derived from the context, or are idempotent by themselves, so that a step whose answer was
 * lost gives the same answer again and no second ChittyID is ever minted for one context.
 *
 * @param publicUrl where the service is reached from outside
 */
export function provisioningProcess(services: ChittyOs, publicUrl: string): Process<ContextState, ContextCommand> {
  return {
    next(state) {
      if (state === null || state.status === 'deleted') return null;
      const step = nextStep(state.provisioning);
      if (step === undefined) return null;
      return {
        dueAt: dueAt(state.provisioning, step),
        async perform(correlationId) {
          const trace = { traceparent: traceparentOf(correlationId) };
          return { type: 'recordProvisioning', event: await makeStep(step, state, services, publicUrl, trace) };
        },
      };
    },
  };
}

async function makeStep(
  step: ProvisioningStep,
  context: Context,
  services: ChittyOs,
  publicUrl: string,
  trace: Trace,
): Promise<ProvisioningEvent> {
  const result = await outcome(step, context, services, publicUrl, trace);
  if (result.ok) return result.value;
  return { type: 'provisioning_step_failed', data: failedStep(step, context.provisioning, result.failure) };
}

/**
 * When a step may be made, in milliseconds since 1970. One that somebody has asked for may be made at once: the time of
 * the request is that of the log, which never goes back, and may be ahead of a clock that was put back.
 */
export function dueAt<Step extends ProvisioningStep>({ steps }: Pick<Provisioning, 'steps'>, step: Step): number {
  const { attempt, retryAt } = steps[step] ?? {};
  return attempt === 0 ? 0 : retriedAt(retryAt);
}

/**
 * When what has failed may be tried again, in milliseconds since 1970; 0 when it never failed. What would have to wait
 * for longer than any pause is was put off before the clock was put back.
 */
export function retriedAt(retryAt = ''): number {
  const at = Date.parse(retryAt);
  return Number.isNaN(at) || at - Date.now() > BACKOFF_MS.cap ? 0 : at;
}

/** What is recorded of a step that failed: how often in a row, why, and when it is tried again. */
export function failedStep<Step extends ProvisioningStep>(
  step: Step,
  { steps }: Provisioning,
  { service, detail, retryAfterMs = 0 }: Failure,
): StepFailure & { readonly step: Step } {
  const attempt = (steps[step]?.attempt ?? 0) + 1;
  const pause = Math.max(backoffMs(attempt, BACKOFF_MS), retryAfterMs);
  const reason = `${service}: ${detail}`.slice(0, REASON_CHARS);
  return { step, reason, attempt, retryAt: new Date(Date.now() + pause).toISOString() };
}

async function outcome(
  step: ProvisioningStep,
  context: Context,
  services: ChittyOs,
  publicUrl: string,
  trace: Trace,
): Promise<CallResult<ProvisioningEvent>> {
  const { id, name, chittyId, provisioning } = context;
  const once = { ...trace, idempotencyKey: `${id}:${step}` };
  const chittyid = chittyId ?? '';
  const reference = (of: ProvisioningStep) => provisioning.steps[of]?.reference ?? '';
  switch (step) {
    case 'identify':
      return map(
        await services.id.mint({ entity: 'P', characterization: 'Synthetic', metadata: { contextId: id } }, once),
        (minted) => ({ type: 'context_identified', data: { chittyId: minted.id, did: minted.did } }),
      );
    case 'initializeDna':
      return map(await services.dna.initialize(dnaRecordOf('context', context), trace), (record) => ({
        type: 'dna_initialized',
        data: { dnaId: record.id },
      }));
    case 'issueApiKeys':
      // The key itself is let go: nothing here uses it, and what is not kept cannot leak.
      return map(
        await services.auth.provisionKeys(
          chittyid,
          { service: 'chittyconnect', context: id, scopes: KEY_SCOPES },
          once,
        ),
        ({ keyId }) => ({ type: 'api_keys_issued', data: { keyId, scopes: KEY_SCOPES } }),
      );
    case 'register': {
      const health = `${publicUrl}/health`;
      const capabilities = [...new Set([...context.systems, ...context.tools])].slice(0, CAPABILITIES_MAX);
      const entry = { chittyid, name, type: 'context', capabilities, health };
      return map(await services.registry.register(entry, trace), () => ({ type: 'context_registered', data: {} }));
    }
    case 'verify': {
      const evidence = { chittyid, dna: reference('initializeDna'), apiKeys: reference('issueApiKeys') };
      const verified = await services.verify.verifyContext(evidence, trace);
      if (verified.ok && verified.value.status !== VERIFIED) {
        return { ok: false, failure: notVerified(verified.value.status) };
      }
      return map(verified, ({ id: verificationId, status }) => ({
        type: 'context_verified',
        data: { verificationId, status },
      }));
    }
    case 'certify': {
      const request = {
        verification: reference('verify'),
        compliantWith: COMPLIANT_WITH,
        securityLevel: SECURITY_LEVEL,
      };
      return map(await services.certify.certifyContext(chittyid, request, once), (certificate) => ({
        type: 'context_certified',
        data: { certificateId: certificate.id },
      }));
    }
    default:
      return step satisfies never;
  }
}

/** ChittyVerify answered, and the answer was no, or not yet: either way it is asked again later. */
function notVerified(status: string): Failure {
  const detail =
    status === 'failed'
      ? 'Identity, DNA record and API keys were found not to belong together.'
      : `The verification is "${status}", not "${VERIFIED}".`;
  return { service: 'verify', operation: 'verifyContext', kind: 'wrong-answer', detail, retryable: true };
}

/** What a step that was made leads to. */
export function map<Value, Event>(result: CallResult<Value>, make: (value: Value) => Event): CallResult<Event> {
  return result.ok ? { ok: true, value: make(result.value) } : result;
}
