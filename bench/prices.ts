/** When the prices were read. */
export const PRICES_READ = '2026-11-25';

/** What the platform asks for one of a thing, in US dollars, on the Workers Paid plan beyond what the plan includes. */
interface Price {
  readonly what: string;
  readonly dollars: number;
  /** As it is published. */
  readonly published: string;
  readonly source: string;
}

const WORKERS = 'https://developers.cloudflare.com/workers/platform/pricing/';
const OBJECTS = 'https://developers.cloudflare.com/durable-objects/platform/pricing/';
const D1 = 'https://developers.cloudflare.com/d1/platform/pricing/';
const R2 = 'https://developers.cloudflare.com/r2/pricing/';
const QUEUES = 'https://developers.cloudflare.com/queues/platform/pricing/';

const MILLION = 1_000_000;
/** Memory that each object is billed for while it is active, whatever it uses. */
const OBJECT_GB = 0.128;

/** The prices, by the use that they are for. */
export const PRICES = {
  requests: {
    what: 'requests to the Worker, batches of the queue included',
    dollars: 0.3 / MILLION,
    published: '$0.30 a million',
    source: WORKERS,
  },
  cpuMs: {
    what: 'milliseconds of CPU',
    dollars: 0.02 / MILLION,
    published: '$0.02 a million',
    source: WORKERS,
  },
  objectCalls: {
    what: 'calls of objects, alarms included',
    dollars: 0.15 / MILLION,
    published: '$0.15 a million',
    source: OBJECTS,
  },
  objectMs: {
    what: 'milliseconds of active objects',
    dollars: (12.5 / MILLION) * (OBJECT_GB / 1000),
    published: '$12.50 a million GB-s, each object as 128 MB',
    source: OBJECTS,
  },
  objectRowsWritten: {
    what: 'rows written in objects, alarms that are set included',
    dollars: 1 / MILLION,
    published: '$1.00 a million',
    source: OBJECTS,
  },
  objectRowsRead: {
    what: 'rows read in objects',
    dollars: 0.001 / MILLION,
    published: '$0.001 a million',
    source: OBJECTS,
  },
  d1RowsWritten: { what: 'rows written in D1', dollars: 1 / MILLION, published: '$1.00 a million', source: D1 },
  d1RowsRead: { what: 'rows read in D1', dollars: 0.001 / MILLION, published: '$0.001 a million', source: D1 },
  messageOperations: {
    what: 'operations of the queue: each 64 KB of a message is written, read and deleted',
    dollars: 0.4 / MILLION,
    published: '$0.40 a million',
    source: QUEUES,
  },
  bucketWrites: {
    what: 'writes to the bucket of the transparency log, and lists of it',
    dollars: 4.5 / MILLION,
    published: '$4.50 a million',
    source: R2,
  },
  bucketReads: { what: 'reads of it', dollars: 0.36 / MILLION, published: '$0.36 a million', source: R2 },
} as const satisfies Readonly<Record<string, Price>>;

/** What is paid for. */
export type Billed = keyof typeof PRICES;

/** A month of a gigabyte, in dollars. */
export const STORAGE = {
  objects: { dollars: 0.2, source: OBJECTS },
  d1: { dollars: 0.75, source: D1 },
  bucket: { dollars: 0.015, source: R2 },
} as const;
