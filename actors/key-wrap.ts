/** Keys at rest: encrypted under a key that is configuration and is never stored with them. */
export interface KeyWrap {
  /** Encrypts a key. @param label what it belongs to; it opens with the same label only */
  wrap(key: Uint8Array, label: string): string;
  /** Decrypts one; null when it was wrapped under a key that is not known here. */
  unwrap(wrapped: string, label: string): Uint8Array | null;
  /** Whether it is wrapped as new ones are. */
  isCurrent(wrapped: string): boolean;
}
