import { Directory } from '../../actors/directory.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { nextUlid } from '../../events/ulid.ts';
import type { Env } from '../env.ts';

/** Whether this isolate has seen that it exists; it never goes away. */
let isKnown = false;

/** Sees that the first administrator, to whom the bootstrap key belongs, is an actor like others. Once is enough. */
export async function ensureFirstAdministrator(env: Env): Promise<void> {
  if (isKnown) return;
  await new Directory(env.DIRECTORY).register(`actor/${BOOTSTRAP_ACTOR}`);
  const commandId = nextUlid(Date.now());
  await env.ACTORS.get(env.ACTORS.idFromName(BOOTSTRAP_ACTOR)).execute({
    id: BOOTSTRAP_ACTOR,
    command: {
      type: 'register',
      data: {
        kind: 'person',
        name: 'First administrator',
        description: 'To whom the bootstrap key belongs',
        capabilities: ['administrator'],
      },
    },
    principal: SYSTEM,
    cause: { correlationId: commandId, causationId: null, commandId },
  });
  // A refusal says that it exists already, which is as good.
  isKnown = true;
}
