import { z } from 'zod';

const receipt = z.looseObject({
  /** Items that were new to the service. */
  accepted: z.int().min(0),
  /** Items that it had already. */
  duplicates: z.int().min(0),
});

/** What a service answers to a batch whose items it tells apart by their ids. */
export type Receipt = z.infer<typeof receipt>;

/** The answer to a batch of `count` items. One that does not account for all of them acknowledges nothing. */
export function receiptFor(count: number): z.ZodType<Receipt> {
  return receipt.refine(
    ({ accepted, duplicates }) => accepted + duplicates === count,
    `does not account for the ${count} that were sent`,
  );
}
