import { toBase64 } from './bytes.ts';

/** What a log asks a witness for (C2SP tlog-witness, `add-checkpoint`). */
export interface WitnessRequest {
  /** The size of the last checkpoint that the witness has signed, as far as the log knows; 0 for none. */
  readonly oldSize: number;
  /** The consistency proof from there to the checkpoint. */
  readonly proof: readonly Uint8Array[];
  /** The checkpoint, a signed note. */
  readonly note: string;
}

/** Writes the body of the request. */
export function formatWitnessRequest({ oldSize, proof, note }: WitnessRequest): string {
  return `old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join('')}\n${note}`;
}
