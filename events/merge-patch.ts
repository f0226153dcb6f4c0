import { isJsonObject, type Json, type JsonObject } from './json.ts';

/**
 * Applies a JSON Merge Patch (RFC 7396, section 2) to an object: members of `patch` replace those of `target`, null
 * removes, objects merge. Neither argument is changed; parts that stay the same are shared with the result.
 */
export function applyMergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const result = new Map<string, Json>(Object.entries(target));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, merged(result.get(key), value));
  }
  // fromEntries defines own properties, so that no key can reach a prototype.
  return Object.fromEntries(result);
}

function merged(target: Json | undefined, patch: Json): Json {
  return isJsonObject(patch) ? applyMergePatch(isJsonObject(target) ? target : {}, patch) : patch;
}

/**
 * The part of a merge patch that changes something: applied to `target` it gives what `patch` gives, and a patch that
 * changes nothing becomes `{}`.
 */
export function effectivePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const effective = new Map<string, Json>();
  for (const [key, value] of Object.entries(patch)) {
    const current = Object.hasOwn(target, key) ? target[key] : undefined;
    if (value === null) {
      if (current !== undefined) effective.set(key, null);
    } else if (isJsonObject(value) && isJsonObject(current)) {
      const inner = effectivePatch(current, value);
      if (Object.keys(inner).length > 0) effective.set(key, inner);
    } else {
      const next = merged(current, value);
      if (current === undefined || !jsonEquals(current, next)) effective.set(key, value);
    }
  }
  return Object.fromEntries(effective);
}

/** Whether two JSON values are equal; the order of an object's members does not matter. */
export function jsonEquals(a: Json, b: Json): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => jsonEquals(item, b[index] ?? null));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && jsonEquals(a[key] ?? null, b[key] ?? null))
  );
}
