import { type Fault, isFault } from '../../events/fault.ts';

/** What a parser gave, for tests of good input. */
export function unfaulted<Value extends object>(value: Value | Fault): Value {
  if (isFault(value)) throw new Error(value.fault);
  return value;
}
