import { z } from 'zod';
import type { Head } from '../../actors/tree.ts';

/** The header `X-Tree-Head` of an operation that may have it. @param description of which tree it is the head */
export function treeHeadHeaders(description: string) {
  return {
    'X-Tree-Head': z
      .string()
      .optional()
      .meta({ description, examples: [`3 ${'5'.repeat(64)}`] }),
  };
}

/** The header that says the head of a stream's tree; none when there is none to be told. */
export function treeHeadHeader(head: Head | undefined): Readonly<Record<string, string>> {
  return head ? { 'X-Tree-Head': `${head.size} ${head.root}` } : {};
}
