import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { SYSTEM_ACTOR } from '../../actors/system-actor.ts';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { derivedId } from '../../events/id.ts';
import { nextUlid } from '../../events/ulid.ts';
import { hasChittyOs } from '../chittyos/env.ts';
import type { Env } from '../env.ts';

/** The context that is the service itself, always the same. */
const SELF_ID = derivedId(CONTEXT_PREFIX, 'service chittyconnect');

/** Whether this isolate has seen that it exists; it never goes away. */
let isKnown = false;

/**
 * Gives the service its own place in ChittyOS, the way every context gets one: it is a context, of the system's, which
 * is created once and then provisions itself. Lists and search leave it out.
 */
export async function provisionSelf(env: Env): Promise<void> {
  if (isKnown || !hasChittyOs(env)) return;
  await new Directory(env.DIRECTORY).register(`context/${SELF_ID}`);
  const commandId = nextUlid(Date.now());
  await env.CONTEXTS.get(env.CONTEXTS.idFromName(SELF_ID)).execute({
    id: SELF_ID,
    command: {
      type: 'create',
      data: {
        name: 'ChittyConnect',
        description: 'The service itself',
        owner: SYSTEM_ACTOR,
        systems: [],
        tools: [],
        metadata: {},
      },
    },
    principal: SYSTEM,
    cause: { correlationId: commandId, causationId: null, commandId },
  });
  // A refusal says that it exists already, which is as good.
  isKnown = true;
}
