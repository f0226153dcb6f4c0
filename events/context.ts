import { z } from 'zod';
import { canonicalText } from './canonical.ts';
import { collaborationEvents } from './context-collaboration.ts';
import { privacyEvents, privacyRules } from './context-privacy.ts';
import { sharingEvents } from './context-sharing.ts';
import type { Json, JsonObject } from './json.ts';
import { notBlank, textUpTo, withoutJsonFault } from './text.ts';
import type { Upcasters } from './upcast.ts';

/** The prefix of a context's id. */
export const CONTEXT_PREFIX = 'ctx';

/** Characters (Unicode code points) of a name, after trimming. */
const NAME_MAX = 200;
/** Characters of a description. */
const DESCRIPTION_MAX = 10_000;
/** Systems, and tools, that one context names at most. */
const LABELS_MAX = 100;
/** Characters of one system or tool, after trimming. */
const LABEL_MAX = 100;
/** Bytes of the metadata's canonical text in UTF-8. */
const METADATA_MAX_BYTES = 64 * 1024;
/** Objects and arrays that may stand inside each other in metadata, the metadata object itself included. */
const METADATA_MAX_DEPTH = 16;

const encoder = new TextEncoder();

/** A context's name: not blank, at most 200 characters. */
export const contextName = textUpTo(NAME_MAX).refine(notBlank, 'must not be blank');

/** What a context is about: at most 10,000 characters, may be empty. */
export const contextDescription = textUpTo(DESCRIPTION_MAX);

/** One system or tool: not blank, at most 100 characters. */
export const contextLabel = textUpTo(LABEL_MAX).refine(notBlank, 'must not be blank');

/** Makes the schema of the systems or the tools of a context: at most 100 labels, each once. */
export const contextLabels = (label: z.ZodType<string, string>): z.ZodType<readonly string[]> =>
  z
    .array(label)
    .max(LABELS_MAX, `must have at most ${LABELS_MAX} items`)
    .superRefine((items, context) => {
      const seen = new Set<string>();
      for (const [index, item] of items.entries()) {
        if (seen.has(item)) {
          context.addIssue({ code: 'custom', path: [index], message: 'is there already; name it once' });
        }
        seen.add(item);
      }
    });

const json: z.ZodType<Json> = z.json();

/** Bytes of metadata as they are counted against its limit: compact canonical JSON in UTF-8. */
function metadataBytes(metadata: JsonObject): number {
  return encoder.encode(canonicalText(metadata)).length;
}

const metadataUpTo = (bytes: number): z.ZodType<JsonObject> =>
  z
    .unknown()
    // Before any recursive schema walks into it: the value may be nested far deeper than the stack allows.
    .superRefine(withoutJsonFault(METADATA_MAX_DEPTH))
    .pipe(z.record(z.string(), json, 'must be a JSON object'))
    .refine((metadata) => metadataBytes(metadata) <= bytes, `must have at most ${bytes} bytes as compact JSON`);

/** Free-form JSON that belongs to a context: an object of at most 64 KiB and 16 levels. */
export const contextMetadata = metadataUpTo(METADATA_MAX_BYTES);

/** The same in an event, where what is personal in it is sealed, which takes up to twice as much. */
const eventMetadata = metadataUpTo(2 * METADATA_MAX_BYTES);

/** The steps by which a context gets its place in ChittyOS, in their order, each with the event that completes it. */
export const PROVISIONING_STEPS = {
  identify: 'context_identified',
  initializeDna: 'dna_initialized',
  issueApiKeys: 'api_keys_issued',
  register: 'context_registered',
  verify: 'context_verified',
  certify: 'context_certified',
} as const;

/** The name of a provisioning step. */
export type ProvisioningStep = keyof typeof PROVISIONING_STEPS;

/** The names of the provisioning steps. */
export const provisioningStep = z.enum([
  'identify',
  'initializeDna',
  'issueApiKeys',
  'register',
  'verify',
  'certify',
] satisfies ProvisioningStep[]);

/** An id that another service gave out. */
const foreignId = z.string().min(1).max(500);

const eventLabels = contextLabels(contextLabel);

/** Only what changed. `metadata` is a merge patch (RFC 7396) of the metadata; null empties it. */
const contextChange = z.strictObject({
  name: contextName.exactOptional(),
  description: contextDescription.exactOptional(),
  systems: eventLabels.exactOptional(),
  tools: eventLabels.exactOptional(),
  metadata: eventMetadata.nullable().exactOptional(),
});

/** What a change of a context holds. */
export type ContextChange = Readonly<z.infer<typeof contextChange>>;

/** The payload schemas of a context's events, in their current versions. */
export const contextEvents = {
  context_created: z.strictObject({
    name: contextName,
    description: contextDescription,
    owner: z.string().min(1),
    systems: eventLabels,
    tools: eventLabels,
    metadata: eventMetadata,
    /** What of the metadata is personal; left out when nothing is. */
    privacy: privacyRules.exactOptional(),
  }),
  context_updated: contextChange,
  /**
   * What people write was brought back to what it was at version `to`; only what changed by it. Of the metadata these
   * are its members: those that got another value, nulls included, and the names of those that went.
   */
  context_reverted: z.strictObject({
    to: z.int().min(1),
    name: contextName.exactOptional(),
    description: contextDescription.exactOptional(),
    systems: eventLabels.exactOptional(),
    tools: eventLabels.exactOptional(),
    metadata: z.strictObject({ set: eventMetadata, removed: z.array(z.string()) }).exactOptional(),
  }),
  /**
   * What stands in the metadata is written again, for rules of privacy that came after it; nothing of it changes. A merge
   * patch, as in `context_updated`.
   */
  metadata_sealed: z.strictObject({ metadata: eventMetadata }),
  context_deleted: z.strictObject({}),
  context_restored: z.strictObject({}),
  /** The ChittyID authority gave it an id. */
  context_identified: z.strictObject({ chittyId: foreignId, did: foreignId }),
  /** ChittyDNA keeps a record of it. */
  dna_initialized: z.strictObject({ dnaId: foreignId }),
  /** ChittyAuth issued keys for it. The key itself is in no event. */
  api_keys_issued: z.strictObject({ keyId: foreignId, scopes: z.array(z.string()) }),
  /** ChittyRegistry lists it. */
  context_registered: z.strictObject({}),
  /** ChittyVerify found that identity, record and keys belong together. */
  context_verified: z.strictObject({ verificationId: foreignId, status: z.string().max(100) }),
  /** ChittyCertify certified it. */
  context_certified: z.strictObject({ certificateId: foreignId }),
  /** A step failed, for the `attempt`th time in a row; it is tried again at `retryAt`. */
  provisioning_step_failed: z.strictObject({
    step: provisioningStep,
    reason: z.string().max(500),
    attempt: z.int().min(1),
    retryAt: z.iso.datetime(),
  }),
  /** Somebody asked for the failed step to be tried again at once. */
  provisioning_retried: z.strictObject({}),
  ...sharingEvents,
  ...privacyEvents,
  ...collaborationEvents(contextChange),
};

/** What can happen to a context. */
export type ContextEvent = {
  [Type in keyof typeof contextEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof contextEvents)[Type]>>;
  };
}[keyof typeof contextEvents];

/** No event of a context has an older form yet. */
export const contextUpcasters: Upcasters = {};
