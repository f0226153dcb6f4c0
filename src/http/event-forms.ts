import type { Problem } from './problem.ts';

/** The forms that events come in. */
const FORMS = { 'application/json': true, 'application/x-ndjson': true, 'text/event-stream': true } as const;

type Form = keyof typeof FORMS;

/** What a range of media types stands for. */
const RANGES: Readonly<Record<string, Form>> = {
  '*/*': 'application/json',
  'application/*': 'application/json',
  'text/*': 'text/event-stream',
};

/** What is answered to who takes none of them. */
export const NOT_ACCEPTABLE: Problem = {
  problem: 'not-acceptable',
  detail: `Accept one of ${Object.keys(FORMS).join(', ')}.`,
};

/** The form with the highest quality value that an Accept header asks for (RFC 9110, section 12.5.1). */
export function negotiate(accept: string | null): Form | null {
  if (accept === null) return 'application/json';
  let best: { form: Form; quality: number } | null = null;
  for (const range of accept.split(',')) {
    const [mediaType = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    const form = RANGES[mediaType] ?? mediaType;
    if (isForm(form) && quality > (best?.quality ?? 0)) best = { form, quality };
  }
  return best?.form ?? null;
}

function isForm(mediaType: string): mediaType is Form {
  return Object.hasOwn(FORMS, mediaType);
}
