import type { ActorState } from '../actors/actor.ts';
import { ActorActor } from '../actors/actor-object.ts';
import { AuditActor } from '../actors/audit-object.ts';
import type { ConnectionState } from '../actors/connection.ts';
import { ConnectionActor } from '../actors/connection-object.ts';
import type { ContextState } from '../actors/context.ts';
import { ContextActor } from '../actors/context-object.ts';
import type { DeadLetterState } from '../actors/dead-letter.ts';
import { DeadLetterActor } from '../actors/dead-letter-object.ts';
import { Directory } from '../actors/directory.ts';
import type { InstallationState } from '../actors/installation.ts';
import { InstallationActor } from '../actors/installation-object.ts';
import { LimitsActor } from '../actors/limits-object.ts';
import type { Sink } from '../actors/outbox.ts';
import { SigningKeysActor } from '../actors/signing-keys-object.ts';
import { projectActor } from '../projections/actors.ts';
import { projectConnection } from '../projections/connections.ts';
import { projectDeadLetter } from '../projections/dead-letters.ts';
import { projectInstallation } from '../projections/installations.ts';
import { hasChittyOs } from './chittyos/env.ts';
import { chittyOs } from './chittyos/services.ts';
import { coldPorts } from './cold/cold.ts';
import { actorProvisioningProcess } from './delivery/actor-provisioning.ts';
import { auditSink } from './delivery/audit-sink.ts';
import { endConnectionsOf, endWhenContextIsDeleted } from './delivery/connection-ends.ts';
import { provisioningProcess } from './delivery/provisioning.ts';
import { queueSink, readModelSink } from './delivery/sinks.ts';
import type { Env } from './env.ts';
import { identityProcess } from './github/identity.ts';
import { handInTo } from './log/log.ts';
import { wordsPort } from './privacy/words-port.ts';

export { DirectoryObject } from '../actors/directory-object.ts';
export { QuotaObject } from '../actors/quota-object.ts';

/** The Durable Object classes, connected to what is around them. */

/** How far lists may lag behind a stream that changes all the time, in milliseconds; few of these do. */
const LIST_INTERVAL_MS = 1_000;

/** The sink that keeps the row of a stream in D1: whatever happened, the latest state is written. */
function latestStateSink<State>(write: (state: State) => Promise<unknown>): Sink<State | null> {
  return {
    destinations: ['d1'],
    intervalMs: LIST_INTERVAL_MS,
    isReady: (_destination, state) => state !== null,
    async deliver({ state, version }) {
      if (state !== null) await write(state);
      return { confirmed: version };
    },
  };
}

/** One context: read models always; ChittyOS when there is one to speak to. */
export class ContextObject extends ContextActor {
  constructor(context: DurableObjectState, env: Env) {
    const readModels = readModelSink(env.DB, (context) => endConnectionsOf(env, context));
    const sinks: Sink<ContextState>[] = [readModels, auditSink(env)];
    const monitor = new Directory(env.DIRECTORY).monitor();
    const log = handInTo(env);
    const words = wordsPort(env);
    const cold = coldPorts(env);
    if (!hasChittyOs(env)) {
      super(context, env, { sinks, monitor, log, words, cold });
      return;
    }
    const process = provisioningProcess(chittyOs(env), env.PUBLIC_URL ?? 'https://connect.chitty.cc');
    super(context, env, { sinks: [...sinks, queueSink(env.CONTEXT_OPS_QUEUE)], monitor, log, words, cold, process });
  }
}

/** The context that a stream is: no other streams hold words of others than their own actor. */
function contextOf(env: Env, stream: string): DurableObjectStub<ContextObject> {
  return env.CONTEXTS.get(env.CONTEXTS.idFromName(stream.slice(stream.indexOf('/') + 1)));
}

/** One actor: read models always, ChittyOS when there is one; what it has open ends with its credentials. */
export class ActorObject extends ActorActor {
  constructor(context: DurableObjectState, env: Env) {
    const sink = latestStateSink<NonNullable<ActorState>>((state) => projectActor(env.DB, state));
    const sinks = [sink, auditSink(env)];
    super(context, env, {
      ...(hasChittyOs(env)
        ? { sinks: [...sinks, queueSink(env.CONTEXT_OPS_QUEUE)], process: actorProvisioningProcess(chittyOs(env)) }
        : { sinks }),
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      words: wordsPort(env),
      eraseIn: (stream, subject, cause) => contextOf(env, stream).eraseWords(subject, cause),
      holdOn: (stream, principal) => contextOf(env, stream).holdFor(principal),
      cold: coldPorts(env),
      endSubscriptions: (id, ended) => env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).endSubscriptions(ended),
      tellOfDelegation: (to, delegation, expiresAt) =>
        env.ACTORS.get(env.ACTORS.idFromName(to)).noteReceived(delegation, expiresAt),
    });
  }
}

/** One connection: read models always, ChittyOS when there is one; the contexts at its ends say who may do what. */
export class ConnectionObject extends ConnectionActor {
  constructor(context: DurableObjectState, env: Env) {
    const directory = new Directory(env.DIRECTORY);
    const sink = latestStateSink<NonNullable<ConnectionState>>(async (state) => {
      await projectConnection(env.DB, state);
      await endWhenContextIsDeleted(env, state);
    });
    super(context, env, {
      sinks: [sink, auditSink(env), ...(hasChittyOs(env) ? [queueSink(env.CONTEXT_OPS_QUEUE)] : [])],
      monitor: directory.monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
      standingOf: (id, principal) => env.CONTEXTS.get(env.CONTEXTS.idFromName(id)).standingOf(principal),
      register: (id) => directory.register(`connection/${id}`),
    });
  }
}

/** What some callers were refused, and what they were given to read, on one day: into the trail, and nowhere else. */
export class AuditObject extends AuditActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      sinks: [auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      cold: coldPorts(env),
    });
  }
}

/** One dead letter. */
export class DeadLetterObject extends DeadLetterActor {
  constructor(context: DurableObjectState, env: Env) {
    const sink = latestStateSink<NonNullable<DeadLetterState>>((state) => projectDeadLetter(env.DB, state));
    super(context, env, {
      sinks: [sink, auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
    });
  }
}

/** The service's signing keys. Only the trail follows from them: they are asked for where tokens are made and checked. */
export class SigningKeysObject extends SigningKeysActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      sinks: [auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
    });
  }
}

/** One installation of the GitHub App: its row in the read models always; a ChittyID when there is a ChittyOS. */
export class InstallationObject extends InstallationActor {
  constructor(context: DurableObjectState, env: Env) {
    const sink = latestStateSink<NonNullable<InstallationState>>((state) => projectInstallation(env.DB, state));
    super(context, env, {
      sinks: [sink, auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
      ...(hasChittyOs(env) && { process: identityProcess(chittyOs(env)) }),
    });
  }
}

/** The limits that callers have. */
export class LimitsObject extends LimitsActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      sinks: [auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
    });
  }
}
