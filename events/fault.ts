/** Input that cannot be used, and why in one sentence: what parsers of foreign bytes return instead of throwing. */
export interface Fault {
  readonly fault: string;
}

/** Tells a fault from what a parser returns otherwise. */
export function isFault(value: object): value is Fault {
  return 'fault' in value;
}
