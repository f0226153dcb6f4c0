import { z } from 'zod';

/** Events in a page unless the caller says otherwise. */
export const LIMIT_DEFAULT = 100;
/** Events in a page of one history at most. */
export const LIMIT_MAX = 1000;

/** Where a page of a history begins. */
export const offsetParameter = z
  .string()
  .optional()
  .meta({
    description: '-1 (the default) for the beginning, now, or an offset that this stream gave out',
    examples: ['-1'],
  });

/** How many events a page has. */
export function limitParameter(max = LIMIT_MAX) {
  return z.int().min(1).max(max).default(LIMIT_DEFAULT).meta({ description: 'Events in a JSON page at most' });
}

/** What every page says of where it ends (Durable Streams, 5.6). */
export const pageHeaders = {
  'Stream-Next-Offset': z
    .string()
    .meta({ description: 'Where the next page begins', examples: ['0000000000000042_5f0c1a9e'] }),
  'Stream-Up-To-Date': z.literal('true').optional().meta({ description: 'There was nothing newer' }),
};

/** Spans [start, end) of a text, in UTF-16 code units: what of it was found. */
export const spans = z.array(z.array(z.int()).length(2));
