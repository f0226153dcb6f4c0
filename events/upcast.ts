import type { JsonObject } from './json.ts';

/**
 * Turns the payload of one schema version into that of the next. It is pure and total: an event that was once accepted
 * must be readable for ever.
 */
type Upcaster = (data: JsonObject) => JsonObject;

/**
 * The upcasters of one stream type: for each event type the steps from version 1 to 2, from 2 to 3, and so on. An
 * event type's current schema version is therefore the number of its steps plus one.
 */
export type Upcasters = Readonly<Record<string, readonly Upcaster[]>>;

/** The schema version that new events of this type are written in. */
export function currentSchemaVersion(upcasters: Upcasters, type: string): number {
  return (upcasters[type]?.length ?? 0) + 1;
}

/**
 * Brings a payload to the current schema version of its event type.
 *
 * @throws when the event was written by newer code than this, which this code must not guess at
 */
export function upcast(upcasters: Upcasters, type: string, schemaVersion: number, data: JsonObject): JsonObject {
  const steps = upcasters[type] ?? [];
  if (schemaVersion > steps.length + 1) {
    throw new Error(`${type} has schema version ${schemaVersion}; this code knows versions up to ${steps.length + 1}`);
  }
  return steps.slice(schemaVersion - 1).reduce((older, step) => step(older), data);
}
