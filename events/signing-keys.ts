import { z } from 'zod';
import type { Upcasters } from './upcast.ts';

/** What a signing key is for. A key signs one kind of thing only, so that no signature can pass for another kind. */
export const SIGNING_PURPOSES = ['tokens', 'log'] as const;

/** One of the purposes. */
export type SigningPurpose = (typeof SIGNING_PURPOSES)[number];

/** 32 bytes in base64url. */
const bytes32 = z.string().regex(/^[\w-]{43}$/);

/** The payload schemas of what happens to the service's signing keys. */
export const signingKeyEvents = {
  signing_key_created: z.strictObject({
    /** The thumbprint of the public key (RFC 7638, SHA-256). */
    kid: bytes32,
    purpose: z.enum(SIGNING_PURPOSES),
    /** An Ed25519 public key (RFC 8037). */
    publicJwk: z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: bytes32 }),
    /** The private key, encrypted; see `src/auth/sealing.ts`. */
    sealedPrivateKey: z.string(),
    /** When it begins to sign. It verifies at once. */
    notBefore: z.iso.datetime({ precision: 3 }),
  }),
  /** It signs no more once its successor does, and verifies until `validUntil`. */
  signing_key_retired: z.strictObject({ kid: bytes32, validUntil: z.iso.datetime({ precision: 3 }) }),
  /** Its private key was encrypted anew, under another key encryption key. */
  signing_key_resealed: z.strictObject({ kid: bytes32, sealedPrivateKey: z.string() }),
};

/** What can happen to the signing keys. */
export type SigningKeyEvent = {
  [Type in keyof typeof signingKeyEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof signingKeyEvents)[Type]>>;
  };
}[keyof typeof signingKeyEvents];

/** No event of the signing keys has an older form yet. */
export const signingKeyUpcasters: Upcasters = {};
