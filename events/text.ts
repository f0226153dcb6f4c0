import { z } from 'zod';
import { findJsonFault, unescapeToken } from './json.ts';

/** Makes a check that adds the faults which `findJsonFault` finds (NUL, lone surrogates, depth, prototype keys). */
export const withoutJsonFault = (maxDepth: number) => (value: unknown, context: z.RefinementCtx) => {
  const fault = findJsonFault(value, maxDepth);
  if (!fault) return;
  const path = fault.pointer.split('/').slice(1).map(unescapeToken);
  context.addIssue({ code: 'custom', path, message: fault.message });
};

/** A text of at most `max` characters as a person counts them, which is not what `String.length` counts. */
export const textUpTo = (max: number) =>
  z
    .string()
    .superRefine(withoutJsonFault(1))
    // A text has at most as many code points as code units, so only one that may be too long is spread out.
    .refine((text) => text.length <= max || [...text].length <= max, `must have at most ${max} characters`);

/** Whether a text has anything but white space. */
export const notBlank = (text: string) => text.trim().length > 0;
