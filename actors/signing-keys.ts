import type { SigningKeyEvent, SigningPurpose } from '../events/signing-keys.ts';
import type { Decider } from './decider.ts';

/** A key that signs, or still verifies what it has signed. */
export type SigningKey = {
  readonly kid: string;
  readonly purpose: SigningPurpose;
  readonly publicJwk: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string };
  readonly sealedPrivateKey: string;
  /** When it begins to sign (ISO 8601). */
  readonly notBefore: string;
  /** When what it has signed is good no more (ISO 8601); null while it has no successor. */
  readonly validUntil: string | null;
};

/** All keys that may still have to verify something, oldest first; null before the first. */
export type SigningKeysState = { readonly keys: readonly SigningKey[] } | null;

/** A key that was just made. */
export type NewSigningKey = Extract<SigningKeyEvent, { type: 'signing_key_created' }>['data'];

/** What can be done with the signing keys. */
export type SigningKeysCommand =
  /** Takes the first key of a purpose. One that is there already stays: two may have been made at the same time. */
  | { readonly type: 'begin'; readonly key: NewSigningKey }
  /** Takes a new key at the time `at`; what those before it have signed is good until `validUntil` (both ISO 8601). */
  | { readonly type: 'rotate'; readonly key: NewSigningKey; readonly at: string; readonly validUntil: string }
  | { readonly type: 'reseal'; readonly keys: readonly { readonly kid: string; readonly sealedPrivateKey: string }[] };

/** Keys of one purpose that may verify at the same time: past so many, verifiers would have to load a long list. */
const SIGNING_KEYS_MAX = 20;

/** How the service's signing keys come and go. */
export const signingKeysDecider: Decider<SigningKeysState, SigningKeysCommand, SigningKeyEvent> = {
  initialState: null,

  decide(command, state) {
    const keys = state?.keys ?? [];
    switch (command.type) {
      case 'begin': {
        const hasOne = keys.some(({ purpose, validUntil }) => purpose === command.key.purpose && validUntil === null);
        return hasOne ? [] : [{ type: 'signing_key_created', data: command.key }];
      }
      case 'rotate': {
        const { key, at, validUntil } = command;
        const living = keys.filter((old) => old.purpose === key.purpose && isLiving(old, at));
        // Those that end at once make room: a compromised key can always be replaced.
        if (validUntil > at && living.length >= SIGNING_KEYS_MAX) {
          const detail = `${living.length} keys verify already. Wait until the oldest has run out.`;
          return { refused: 'limit-reached', detail };
        }
        const ending = living.filter((old) => isLiving(old, validUntil));
        return [
          { type: 'signing_key_created', data: key },
          ...ending.map(({ kid }) => ({ type: 'signing_key_retired' as const, data: { kid, validUntil } })),
        ];
      }
      case 'reseal':
        return command.keys
          .filter(({ kid }) => keys.some((key) => key.kid === kid))
          .map(({ kid, sealedPrivateKey }) => ({ type: 'signing_key_resealed', data: { kid, sealedPrivateKey } }));
      default:
        return command satisfies never;
    }
  },

  evolve(state, event) {
    const keys = state?.keys ?? [];
    switch (event.type) {
      case 'signing_key_created': {
        const { kid, purpose, publicJwk, sealedPrivateKey, notBefore } = event.data;
        // What has run out verifies nothing any more; the log still has it.
        const living = keys.filter((key) => isLiving(key, event.time));
        return { keys: [...living, { kid, purpose, publicJwk, sealedPrivateKey, notBefore, validUntil: null }] };
      }
      case 'signing_key_retired':
        return { keys: changed(keys, event.data.kid, { validUntil: event.data.validUntil }) };
      case 'signing_key_resealed':
        return { keys: changed(keys, event.data.kid, { sealedPrivateKey: event.data.sealedPrivateKey }) };
      default:
        return event satisfies never;
    }
  },
};

/** Whether what a key has signed is good at a time (ISO 8601). */
function isLiving({ validUntil }: SigningKey, at: string): boolean {
  return validUntil === null || validUntil > at;
}

function changed(keys: readonly SigningKey[], kid: string, change: Partial<SigningKey>): SigningKey[] {
  return keys.map((key) => (key.kid === kid ? { ...key, ...change } : key));
}
