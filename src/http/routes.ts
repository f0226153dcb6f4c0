import { issueTicket, watchContext } from '../live/live.ts';
import {
  deleteActor,
  grantCapability,
  patchActor,
  readActor,
  registerActor,
  reinstateActor,
  revokeCapability,
  suspendActor,
} from './actors/actors.ts';
import { readActorBundle, readActorHistory, readActorProof } from './actors/history.ts';
import { issueKey, listKeys, revokeKey, rotateKey } from './actors/keys.ts';
import { listActors } from './actors/list.ts';
import {
  endAllSessions,
  endCurrentSession,
  endSession,
  listSessions,
  refreshSession,
  startSession,
} from './actors/sessions.ts';
import { archiveStream, readColdHistory } from './admin/cold-history.ts';
import { dropLetter, listLetters, readLetter, replayLetter } from './admin/dead-letters.ts';
import { listInstallations, readInstallation } from './admin/installations.ts';
import { changeLimits, readLimits } from './admin/limits.ts';
import { readOutbox, retryOutbox } from './admin/outbox.ts';
import { rebuildReadModels } from './admin/rebuild.ts';
import { listSigningKeys, resealSigningKeys, rotateSigningKeys } from './admin/signing-keys.ts';
import { readAudit } from './audit/audit.ts';
import { readBundle } from './bundle.ts';
import {
  consentToConnection,
  createConnection,
  declineConnection,
  disconnect,
  readConnection,
  sendHeartbeat,
} from './connections/connections.ts';
import { readGraph } from './connections/graph.ts';
import { readConnectionHistory } from './connections/history.ts';
import { listConnections } from './connections/list.ts';
import { listContexts, searchContexts } from './context-lists.ts';
import { createContext, deleteContext, patchContext, readContext, restoreContext } from './contexts.ts';
import { delegate } from './delegation/delegate.ts';
import { listDelegations, readDelegation, revokeDelegation } from './delegation/delegations.ts';
import { introspectToken, revokeToken } from './delegation/oauth.ts';
import { diffContext } from './diff.ts';
import { ecosystem } from './ecosystem.ts';
import { embeddedRoutes } from './embedded.ts';
import { readFeed } from './feed/feed.ts';
import { readFieldHistory } from './field-history.ts';
import { githubWebhook } from './github-webhook.ts';
import { health } from './health.ts';
import { readHistory } from './history.ts';
import {
  acceptInvitation,
  declineInvitation,
  listContextInvitations,
  listInvitations,
  sendInvitation,
  withdrawInvitation,
} from './invitations.ts';
import { readJwks } from './jwks.ts';
import { readCheckpoint, readLogKeys, readTile } from './log.ts';
import { changeRole, leaveContext, removeMember, transferOwnership } from './members.ts';
import { metrics } from './metrics.ts';
import { addNote, listNotes, removeNote } from './notes.ts';
import { openApiText } from './openapi.ts';
import { problems } from './operations.ts';
import { readPresence } from './presence.ts';
import { eraseActor, readErasure } from './privacy/erasures.ts';
import {
  endRetention,
  eraseInContext,
  liftHold,
  placeHold,
  readPrivacy,
  setPrivacyRules,
  setRetention,
} from './privacy/privacy.ts';
import { readProof } from './proofs.ts';
import {
  approveProposal,
  commentProposal,
  listProposals,
  makeProposal,
  patchRules,
  readProposal,
  readRules,
  rebaseProposal,
  rejectProposal,
  withdrawProposal,
} from './proposals.ts';
import { retryProvisioning } from './provisioning.ts';
import { jsonText } from './respond.ts';
import { revertContext } from './revert.ts';
import type { PublicRoute, Route } from './route.ts';
import { disableWebhook, enableWebhook, listDeliveries, replayWebhook, testWebhook } from './webhooks/deliveries.ts';
import { rotateWebhookSecret } from './webhooks/secrets.ts';
import { createWebhook, deleteWebhook, listWebhooks, patchWebhook, readWebhook } from './webhooks/webhooks.ts';

/** The document is built when it is first asked for: nobody else should wait for it. */
let document: string | null = null;

/** GET /openapi.json */
const openApi: PublicRoute = {
  method: 'GET',
  path: '/openapi.json',
  access: 'public',
  operation: {
    operationId: 'openApi',
    tags: ['service'],
    summary: 'This document',
    description: 'Made from the schemas that check the requests.',
    security: [],
    responses: {
      200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
      ...problems(400),
    },
  },
  handle(exchange) {
    document ??= openApiText(routes);
    return jsonText(exchange, 200, document);
  },
};

/** The API. Each route's file says what it takes, who may call it and what it answers. */
export const routes: readonly Route[] = [
  health,
  ecosystem,
  metrics,
  openApi,
  readJwks,
  createContext,
  listContexts,
  // Before the contexts by id, whose path takes any word.
  searchContexts,
  readContext,
  patchContext,
  deleteContext,
  restoreContext,
  revertContext,
  retryProvisioning,
  readHistory,
  readFeed,
  readProof,
  readBundle,
  readCheckpoint,
  readTile,
  readLogKeys,
  readFieldHistory,
  diffContext,
  watchContext,
  issueTicket,
  sendInvitation,
  listContextInvitations,
  acceptInvitation,
  declineInvitation,
  withdrawInvitation,
  listInvitations,
  changeRole,
  removeMember,
  leaveContext,
  transferOwnership,
  addNote,
  listNotes,
  removeNote,
  makeProposal,
  listProposals,
  readProposal,
  commentProposal,
  approveProposal,
  rejectProposal,
  withdrawProposal,
  rebaseProposal,
  readRules,
  patchRules,
  readPrivacy,
  setPrivacyRules,
  setRetention,
  endRetention,
  placeHold,
  liftHold,
  eraseInContext,
  eraseActor,
  readErasure,
  readPresence,
  readGraph,
  createConnection,
  listConnections,
  readConnection,
  readConnectionHistory,
  sendHeartbeat,
  consentToConnection,
  declineConnection,
  disconnect,
  registerActor,
  listActors,
  readActor,
  patchActor,
  deleteActor,
  suspendActor,
  reinstateActor,
  grantCapability,
  revokeCapability,
  readActorHistory,
  readActorProof,
  readActorBundle,
  issueKey,
  listKeys,
  rotateKey,
  revokeKey,
  startSession,
  refreshSession,
  endCurrentSession,
  listSessions,
  endSession,
  endAllSessions,
  delegate,
  listDelegations,
  readDelegation,
  revokeDelegation,
  introspectToken,
  revokeToken,
  createWebhook,
  listWebhooks,
  readWebhook,
  patchWebhook,
  deleteWebhook,
  rotateWebhookSecret,
  listDeliveries,
  testWebhook,
  replayWebhook,
  enableWebhook,
  disableWebhook,
  readAudit,
  readOutbox,
  retryOutbox,
  readColdHistory,
  archiveStream,
  rebuildReadModels,
  listSigningKeys,
  rotateSigningKeys,
  resealSigningKeys,
  listLetters,
  readLetter,
  replayLetter,
  dropLetter,
  githubWebhook,
  listInstallations,
  readInstallation,
  readLimits,
  changeLimits,
  ...embeddedRoutes,
];
