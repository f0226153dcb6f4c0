import { isRefusal } from '../../actors/decider.ts';
import { Directory } from '../../actors/directory.ts';
import type { CommandReply, CommandRequest, RefusalReply } from '../../actors/messages.ts';
import { SYSTEM } from '../../actors/principal.ts';
import type { SigningKey, SigningKeysCommand } from '../../actors/signing-keys.ts';
import type { SigningPurpose } from '../../events/signing-keys.ts';
import { nextUlid } from '../../events/ulid.ts';
import type { Env } from '../env.ts';
import type { Problem } from '../http/problem.ts';
import { isWithin } from '../within.ts';
import { type Sealer, sealerOf } from './sealing.ts';
import { newSigningKey, openPrivateKey, openPublicKey } from './signing-key.ts';

/**
 * The service's signing keys as this isolate knows them. The ring itself is one object (`actors/signing-keys.ts`), which
 * has the private keys encrypted; they are opened here, where they sign.
 */

/** The id of the one ring that there is. */
export const RING_ID = 'service';

/** How long an isolate goes by the keys that it has loaded, in milliseconds: a withdrawn key holds no longer than this. */
export const RING_FRESH_MS = 60_000;

/** How often an isolate looks again for a key that it does not know, in milliseconds: anybody can name any key. */
const UNKNOWN_KEY_MS = 1_000;

/** The answer where no private key can be opened. */
export const NOT_CONFIGURED: Problem = {
  problem: 'not-configured',
  detail:
    'Tokens cannot be signed: the secret KEY_ENCRYPTION_KEY is missing or does not open the signing keys. Set it as ' +
    'the README says under "Signing keys". Everything that needs no new token goes on working.',
};

interface Loaded {
  readonly keys: readonly SigningKey[];
  /** In milliseconds since 1970. */
  readonly loadedAt: number;
  readonly order: number;
}

/** How often the ring was asked. */
let loads = 0;

let loaded: Loaded | null = null;

/** The public keys that were needed so far, by `kid`. A `kid` is the key's own hash: it never means another. */
const verifiers = new Map<string, CryptoKey>();

/** The private key that was opened last, and what it was opened from. */
let opened: { readonly from: string; readonly key: CryptoKey } | null = null;

/** A private key that signs now. */
interface Signer {
  readonly kid: string;
  readonly key: CryptoKey;
}

/**
 * The public key of this id, while what it has signed is good. At once when it is known; the ring is asked otherwise, and
 * nothing but the ring.
 */
export function verifierOf(
  env: Env,
  purpose: SigningPurpose,
  kid: string,
): CryptoKey | null | Promise<CryptoKey | null> {
  const now = Date.now();
  if (loaded !== null && isFresh(loaded, RING_FRESH_MS) && find(loaded.keys, purpose, kid, now)) {
    const verifier = verifiers.get(kid);
    if (verifier) return verifier;
  }
  return loadVerifier(env, purpose, kid);
}

async function loadVerifier(env: Env, purpose: SigningPurpose, kid: string): Promise<CryptoKey | null> {
  const key =
    find(await loadKeys(env, RING_FRESH_MS), purpose, kid, Date.now()) ??
    find(await loadKeys(env, UNKNOWN_KEY_MS), purpose, kid, Date.now());
  if (key === null) return null;
  const verifier = await openPublicKey(key);
  verifiers.set(kid, verifier);
  return verifier;
}

/** The keys of a purpose whose signatures are good, oldest first. */
export async function livingKeys(env: Env, purpose: SigningPurpose): Promise<SigningKey[]> {
  const keys = await loadKeys(env, UNKNOWN_KEY_MS);
  return keys.filter((key) => isLiving(key, purpose, Date.now()));
}

/** The private key that signs now; the first one of all is made when it is needed. A problem when none can be opened. */
export async function signerOf(env: Env, purpose: SigningPurpose): Promise<Signer | Problem> {
  const sealer = await sealerOf(env);
  if (sealer === null) return NOT_CONFIGURED;
  const keys = await loadKeys(env, RING_FRESH_MS);
  const living = keys.filter((key) => isLiving(key, purpose, Date.now()));
  const candidates = living.length > 0 ? living : await begin(env, sealer, purpose);
  for (const key of inOrderOfUse(candidates, Date.now())) {
    const from = `${key.sealedPrivateKey} ${env.KEY_ENCRYPTION_KEY}`;
    if (opened?.from === from) return { kid: key.kid, key: opened.key };
    const privateKey = await openPrivateKey(sealer, key);
    if (privateKey === null) continue;
    opened = { from, key: privateKey };
    return { kid: key.kid, key: privateKey };
  }
  return NOT_CONFIGURED;
}

/** All keys of a purpose that sign now, with their private halves; the first one of all is made when it is needed. */
export async function signersOf(
  env: Env,
  purpose: SigningPurpose,
): Promise<{ readonly signingKey: SigningKey; readonly key: CryptoKey }[] | Problem> {
  const sealer = await sealerOf(env);
  if (sealer === null) return NOT_CONFIGURED;
  const now = Date.now();
  const living = (await loadKeys(env, RING_FRESH_MS)).filter((key) => isLiving(key, purpose, now));
  const candidates = living.length > 0 ? living : await begin(env, sealer, purpose);
  const begun = candidates.filter(({ notBefore }) => Date.parse(notBefore) <= Date.now());
  const signers: { signingKey: SigningKey; key: CryptoKey }[] = [];
  // None has begun when the clock was put back: better early than none.
  for (const signingKey of begun.length > 0 ? begun : candidates) {
    const key = await openPrivateKey(sealer, signingKey);
    if (key !== null) signers.push({ signingKey, key });
  }
  return signers.length > 0 ? signers : NOT_CONFIGURED;
}

async function begin(env: Env, sealer: Sealer, purpose: SigningPurpose): Promise<SigningKey[]> {
  const key = await newSigningKey(sealer, purpose, new Date());
  const commandId = nextUlid(Date.now());
  await changeRing(env, {
    command: { type: 'begin', key },
    principal: SYSTEM,
    cause: { correlationId: commandId, causationId: null, commandId },
  });
  return livingKeys(env, purpose);
}

/**
 * The newest that has begun, then the older ones that are left. Last those that have yet to begin: better early than
 * none, when the secret that opens the others is lost.
 */
function inOrderOfUse(keys: readonly SigningKey[], now: number): SigningKey[] {
  const newestFirst = keys.toReversed();
  const hasBegun = ({ notBefore }: SigningKey) => Date.parse(notBefore) <= now;
  return [...newestFirst.filter(hasBegun), ...newestFirst.filter((key) => !hasBegun(key)).reverse()];
}

/** Has the ring carry out a command, and loads it anew. */
export async function changeRing(
  env: Env,
  request: Omit<CommandRequest<SigningKeysCommand>, 'id'>,
): Promise<CommandReply | RefusalReply> {
  // Before the first event, as every stream.
  await new Directory(env.DIRECTORY).register(`keyring/${RING_ID}`);
  const reply = await ringOf(env).execute({ id: RING_ID, ...request });
  await loadKeys(env, 0);
  return reply;
}

/** The keys of the ring, as they were not longer than `maxAgeMs` ago. */
export async function loadKeys(env: Env, maxAgeMs: number): Promise<readonly SigningKey[]> {
  if (loaded !== null && isFresh(loaded, maxAgeMs)) return loaded.keys;
  const loadedAt = Date.now();
  loads += 1;
  const order = loads;
  const answer = await ringOf(env).sealedKeys(SYSTEM);
  const keys = isRefusal(answer) ? [] : answer.seen;
  // Of two loads at the same time, the one that began first may end last.
  if (loaded === null || loaded.order < order) loaded = { keys, loadedAt, order };
  return keys;
}

function isFresh({ loadedAt }: Loaded, maxAgeMs: number): boolean {
  return isWithin(maxAgeMs, loadedAt);
}

function ringOf(env: Env) {
  return env.SIGNING_KEYS.get(env.SIGNING_KEYS.idFromName(RING_ID));
}

function find(keys: readonly SigningKey[], purpose: SigningPurpose, kid: string, now: number): SigningKey | null {
  return keys.find((key) => key.kid === kid && isLiving(key, purpose, now)) ?? null;
}

function isLiving(key: SigningKey, purpose: SigningPurpose, now: number): boolean {
  return key.purpose === purpose && (key.validUntil === null || Date.parse(key.validUntil) > now);
}
