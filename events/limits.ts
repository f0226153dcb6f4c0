import { z } from 'zod';
import type { Upcasters } from './upcast.ts';

/** The id of the one stream that holds the limits. */
export const LIMITS_ID = 'limits';

/** Entries for single endpoints, and for single actors, at most. */
const ENTRIES_MAX = 1_000;

/** So many requests in so many seconds, all of which may come at once. */
const rate = z.strictObject({
  requests: z.int().min(1).max(10_000_000),
  seconds: z.int().min(1).max(86_400),
});

/** Requests in a UTC day and a UTC month; null for as many as one likes. */
const quotas = z.strictObject({
  day: z.int().min(0).nullable(),
  month: z.int().min(0).nullable(),
});

const entries = <Value extends z.ZodType>(key: z.ZodType<string, string>, value: Value) =>
  z
    .record(key, value)
    .refine((record) => Object.keys(record).length <= ENTRIES_MAX, `has more than ${ENTRIES_MAX} entries`);

/** How much every caller may ask for. */
export const limitsSchema = z.strictObject({
  /** For each actor, by kind of request. */
  classes: z.strictObject({ read: rate, search: rate, write: rate, manage: rate }),
  /** For each actor at single endpoints, by operation id; counted beside the class. */
  endpoints: entries(z.string().regex(/^[A-Za-z]{1,64}$/), rate),
  /** What is otherwise for single actors: all rates times `factor`, quotas of their own, or no limit at all. */
  actors: entries(
    z.string().regex(/^act_[0-9A-HJKMNP-TV-Z]{26}$/),
    z.strictObject({
      factor: z.number().min(0.01).max(1_000).exactOptional(),
      quotas: quotas.exactOptional(),
      isExempt: z.boolean().exactOptional(),
    }),
  ),
  quotas,
  /** For each address, of those who send no credential. */
  unauthenticated: rate,
  /** Wrong credentials for each address; then nothing of it is looked at but credentials known to be right. */
  guesses: rate,
  /** When the service counts as under pressure, and how far that lowers what the heaviest callers may do. */
  pressure: z.strictObject({
    /** Milliseconds; a request that takes longer is slow. */
    slowMs: z.int().min(1).max(60_000),
    /** The share of slow requests from which on there is pressure. */
    slowShare: z.number().min(0).max(1),
    /** Streams whose events are waiting for a service that is up, from which on there is pressure. */
    backlog: z.int().min(1),
    /** The share of their limit that the heaviest callers always keep. */
    floor: z.number().min(0.01).max(1),
  }),
});

/** How much every caller may ask for. */
export type Limits = z.infer<typeof limitsSchema>;

/** So many requests in so many seconds. */
export type Rate = z.infer<typeof rate>;

/** The kinds of requests that have a limit of their own. */
export type LimitClass = keyof Limits['classes'];

/** The limits until an administrator sets others. */
export const DEFAULT_LIMITS: Limits = {
  classes: {
    read: { requests: 6_000, seconds: 60 },
    search: { requests: 600, seconds: 60 },
    write: { requests: 3_000, seconds: 60 },
    manage: { requests: 300, seconds: 60 },
  },
  endpoints: {},
  actors: {},
  quotas: { day: null, month: null },
  unauthenticated: { requests: 300, seconds: 60 },
  guesses: { requests: 20, seconds: 60 },
  pressure: { slowMs: 1_000, slowShare: 0.1, backlog: 5_000, floor: 0.1 },
};

/** The payload schemas of the events. */
export const limitsEvents = {
  /** An administrator set them, all at once: each event is complete. */
  limits_changed: z.strictObject({ limits: limitsSchema }),
};

/** What can happen to the limits. */
export type LimitsEvent = {
  readonly type: 'limits_changed';
  readonly data: Readonly<z.infer<(typeof limitsEvents)['limits_changed']>>;
};

/** No event has an older form yet. */
export const limitsUpcasters: Upcasters = {};
