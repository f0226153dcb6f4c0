import { z } from 'zod';
import { isRefusal } from '../../actors/decider.ts';
import { SYSTEM } from '../../actors/principal.ts';
import type { InitializeRequest } from '../chittyos/chitty-dna.ts';
import type { Env } from '../env.ts';
import { type OutgoingEvent, streamTypeOf } from './cloud-event.ts';
import { originOf } from './stream-object.ts';

/** The version of the genesis metadata that DNA records begin with. */
const GENESIS_SCHEMA_VERSION = '1.0.0';

/** What of a state its record begins with. */
const subject = z.looseObject({ id: z.string(), chittyId: z.string().nullable(), createdAt: z.string() });

type Subject = z.infer<typeof subject>;

/** What the DNA record of a context or an actor begins with: always the same, so that it can be begun again. */
export function dnaRecordOf(type: 'context' | 'actor', { id, chittyId, createdAt }: Subject): InitializeRequest {
  return {
    chittyid: chittyId ?? '',
    type,
    metadata: type === 'context' ? { contextId: id } : { actorId: id },
    genesis: { service: 'chittyconnect', timestamp: createdAt, genesisSchemaVersion: GENESIS_SCHEMA_VERSION },
  };
}

/**
 * What the record begins with that events on their way belong to.
 *
 * @returns null when their stream has none
 * @throws when its object cannot be asked now
 */
export async function dnaRecordFor(
  env: Env,
  event: Pick<OutgoingEvent, 'source' | 'subject'>,
): Promise<InitializeRequest | null> {
  const type = streamTypeOf(event);
  if (type === 'connection') return null;
  const view = await originOf(env, event).view(SYSTEM);
  if (isRefusal(view)) return null;
  const state = subject.safeParse(JSON.parse(view.body));
  return state.success && state.data.chittyId !== null ? dnaRecordOf(type, state.data) : null;
}
