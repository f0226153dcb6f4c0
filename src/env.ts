import type { DirectoryObject } from '../actors/directory-object.ts';
import type { ChittyOsEnv } from './chittyos/env.ts';
import type { TransparencyLogObject, TransparencyShardObject } from './log/objects.ts';
import type {
  ActorObject,
  AuditObject,
  ConnectionObject,
  ContextObject,
  DeadLetterObject,
  InstallationObject,
  LimitsObject,
  QuotaObject,
  SigningKeysObject,
} from './objects.ts';
import type { WebhookObject, WebhookRegistryObject } from './webhooks/objects.ts';

/** The bindings of wrangler.toml, its variables and the secrets. */
export interface Env extends ChittyOsEnv {
  readonly CONTEXTS: DurableObjectNamespace<ContextObject>;
  readonly ACTORS: DurableObjectNamespace<ActorObject>;
  /** What is refused and what is read, for the audit trail; 16 objects a day. */
  readonly AUDIT: DurableObjectNamespace<AuditObject>;
  readonly CONNECTIONS: DurableObjectNamespace<ConnectionObject>;
  readonly DEAD_LETTERS: DurableObjectNamespace<DeadLetterObject>;
  readonly INSTALLATIONS: DurableObjectNamespace<InstallationObject>;
  /** The limits that callers have; one object. */
  readonly LIMITS: DurableObjectNamespace<LimitsObject>;
  /** How much of their quotas actors have used; one object each. */
  readonly QUOTAS: DurableObjectNamespace<QuotaObject>;
  /** Counts for all isolates of a place. */
  readonly RATE_LIMIT?: RateLimit;
  readonly SIGNING_KEYS: DurableObjectNamespace<SigningKeysObject>;
  /** The log of logs; one object, and those that collect for it. */
  readonly TRANSPARENCY_LOG: DurableObjectNamespace<TransparencyLogObject>;
  readonly TRANSPARENCY_SHARDS: DurableObjectNamespace<TransparencyShardObject>;
  /** Its tiles, for everybody to read. */
  readonly LOG_TILES: R2Bucket;
  /** Where the older part of long histories is kept; without it all of it stays in the objects. */
  readonly COLD_HISTORY?: R2Bucket | undefined;
  /** After how many days events are moved there: a number, 30 when left out; `off` for never. */
  readonly COLD_AFTER_DAYS?: string;
  /** What the log is called when it begins; afterwards its name stays. */
  readonly LOG_ORIGIN?: string;
  /** Who is asked to sign that they saw the log's checkpoints: `<verifier key> <URL>`, one a line or between commas. */
  readonly WITNESSES?: string;
  readonly WEBHOOKS: DurableObjectNamespace<WebhookObject>;
  /** Which webhooks are active; one object. */
  readonly WEBHOOK_REGISTRY: DurableObjectNamespace<WebhookRegistryObject>;
  /** The way out for webhooks, where there is one that refuses private addresses; the platform's own otherwise. */
  readonly WEBHOOK_EGRESS?: Fetcher;
  /** `true` when webhooks may go to this machine itself, without TLS: for development and tests. */
  readonly WEBHOOKS_TO_LOOPBACK?: string;
  readonly DIRECTORY: DurableObjectNamespace<DirectoryObject>;
  /** Events on their way to ChittyOS. */
  readonly CONTEXT_OPS_QUEUE: Queue;
  /** Where the service is reached from outside; told to ChittyRegistry. */
  readonly PUBLIC_URL?: string;
  /** The read models (projections/). */
  readonly DB: D1Database;
  /** How many days the audit trail in D1 goes back; empty for ever. The logs keep everything. */
  readonly AUDIT_KEEP_DAYS?: string;
  /** Origins that browsers may call from, separated by commas; `*` for any; empty for none. */
  readonly CORS_ORIGINS?: string;
  /** The key of the first administrator (a secret). */
  readonly BOOTSTRAP_API_KEY?: string;
  /** Its SHA-256 in hexadecimal digits, for those who would rather not hand the key itself over. */
  readonly BOOTSTRAP_API_KEY_SHA256?: string;
  /** The header that holds the caller's address, when something in front of the Worker always overwrites it. */
  readonly CLIENT_ADDRESS_HEADER?: string;
  /** What GitHub signs the webhook's deliveries with (a secret); without it none are taken. */
  readonly GITHUB_WEBHOOK_SECRET?: string;
  /** What the private signing keys are encrypted with (a secret): 32 bytes in base64url. Without it no token is made. */
  readonly KEY_ENCRYPTION_KEY?: string;
  /** The one before it, while keys are still encrypted with that. */
  readonly KEY_ENCRYPTION_KEY_PREVIOUS?: string;
  /** A key that reads `/metrics` and opens nothing else (a secret). */
  readonly METRICS_API_KEY?: string;
}
