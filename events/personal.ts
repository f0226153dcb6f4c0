import { z } from 'zod';

/**
 * What people write of themselves and of each other. An event carries it sealed: encrypted under a key that belongs to
 * the person and the stream, so that destroying the key takes the words away from every copy of the event, and the event
 * and its proofs stay what they were.
 */

/** What every sealed value begins with. No text that comes from outside may. */
export const SEALED_MARK = 'sealed:v1:';

/** What readers see in the place of words that were erased. */
export const ERASED = '[erased]';

/** What they see in the place of words whose key cannot be opened where they read. */
export const LOCKED = '[sealed]';

/** Whether what stands for words is not they: they are erased, or their key cannot be opened. */
export function isUnreadable(opened: unknown): boolean {
  return opened === ERASED || opened === LOCKED;
}

/** Characters of the id of a subject that is no actor. */
const SUBJECT_MAX = 100;

/** Whose words a marked field holds: those of whoever caused the event, or of the actor whose stream it is. */
export type Whose = 'author' | 'self';

/** A field of an event's data that holds somebody's words. */
export interface PersonalField {
  readonly name: string;
  readonly whose: Whose;
}

/** A sealed value, taken apart. */
export interface SealedValue {
  /** The person whose words they are: an actor's id, or an id that a context has for them. */
  readonly subject: string;
  /** The id of the key: 16 hexadecimal digits. */
  readonly key: string;
  /** Nonce and ciphertext, in base 64. */
  readonly box: string;
}

const SEALED = /^sealed:v1:([A-Za-z0-9_.-]{1,100}):([0-9a-f]{16}):([A-Za-z0-9+/]{64,}={0,2})$/;

/** A string in JSON text that begins like a sealed value. Inside of a string a quotation mark has a backslash before it. */
const IN_JSON = /(?<!\\)"sealed:v1:/g;

const marks = z.registry<{ readonly whose: Whose }>();

const sealedText = z.string().regex(SEALED);

/** A person's id within a context: letters, digits, `_`, `-` and `.`, so that no address or name gets in by mistake. */
export const subjectId = z
  .string()
  .regex(/^[A-Za-z0-9_.-]+$/, 'must have letters, digits, "_", "-" and "." only')
  .max(SUBJECT_MAX, `must have at most ${SUBJECT_MAX} characters`);

/** Marks a field of an event as somebody's words: it may hold them as they are, which older events do, or sealed. */
export function personal<Text extends z.ZodType<string, string>>(schema: Text, whose: Whose) {
  const marked = z.union([sealedText, schema]);
  marks.add(marked, { whose });
  return marked;
}

/** The fields of an event's data that are marked as somebody's words. @param schema of the data */
export function personalFields(schema: z.ZodType): readonly PersonalField[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries<z.ZodType>(schema.shape).flatMap(([name, field]) => {
    const whose = marks.get(innermost(field))?.whose;
    return whose === undefined ? [] : [{ name, whose }];
  });
}

function innermost(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodExactOptional || inner instanceof z.ZodNullable) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

/** Takes a sealed value apart; null when the text is none. */
export function readSealed(text: string): SealedValue | null {
  if (!text.startsWith(SEALED_MARK)) return null;
  const [, subject, key, box] = SEALED.exec(text) ?? [];
  return subject === undefined || key === undefined || box === undefined ? null : { subject, key, box };
}

/** Writes a sealed value as the text that stands in its place. */
export function writeSealed({ subject, key, box }: SealedValue): string {
  return `${SEALED_MARK}${subject}:${key}:${box}`;
}

/** How many strings of a JSON text begin like sealed values. */
export function countSealed(jsonText: string): number {
  // The first look costs next to nothing, and nearly always tells.
  return jsonText.includes(`"${SEALED_MARK}`) ? (jsonText.match(IN_JSON)?.length ?? 0) : 0;
}

/** Why somebody's words were erased: they or an owner asked here, they asked for it everywhere, or their time was up. */
export const ERASURE_REASONS = ['requested', 'everywhere', 'retention'] as const;

/** The type of the event that says so. */
export const ERASURE = 'subject_erased';

/** The data of the event that says that somebody's words are gone from a stream: their key is destroyed. */
export const subjectErased = z.strictObject({ subject: subjectId, reason: z.enum(ERASURE_REASONS) });
