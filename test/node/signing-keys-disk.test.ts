import { createDecipheriv, createPublicKey, sign, verify } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort, startServer, stopServer, temporaryFolder } from '../support/server.ts';

const temporary = temporaryFolder('signing-keys');

afterAll(() => temporary.remove());

/** Everything that is kept on disk, file by file. */
function filesIn(folder: string): Buffer[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
  return paths.filter((path) => statSync(path).isFile()).map((path) => readFileSync(path));
}

/** Opens a private key as the documents say it was sealed, with nothing of the product's code. */
function open(sealed: string, secret: string, label: string): Buffer {
  const bytes = Buffer.from(sealed.split('.')[2] ?? '', 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(secret, 'base64url'), bytes.subarray(0, 12));
  decipher.setAAD(Buffer.from(label));
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
}

describe('the private key that signs tokens', () => {
  it('cannot be read off the disk without KEY_ENCRYPTION_KEY, and with it can', async () => {
    const dataFolder = join(temporary.path, 'data');
    const secret = 'U2VjcmV0IG9mIHRoZSB0ZXN0IG9uIHRoZSBkaXNrLiE';
    const server = await startServer({
      port: await freePort(),
      dataFolder,
      environment: { TMPDIR: temporary.path, KEY_ENCRYPTION_KEY: secret },
    });
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    const rotated = await fetch(`${server.url}/v1/admin/signing-keys/rotate`, { method: 'POST', headers });
    expect(rotated.status).toBe(200);
    const jwks: { keys: { kid: string; x: string }[] } = JSON.parse(
      await (await fetch(`${server.url}/.well-known/jwks.json`)).text(),
    );
    await stopServer(server);

    const { kid = '', x = '' } = jwks.keys[0] ?? {};
    const files = filesIn(dataFolder);
    // In the event that made this key; others have keys for other purposes, or only tell that there was one.
    const event = new RegExp(`"kid":"${kid}".{0,500}?"sealedPrivateKey":"(v1\\.[\\w-]+\\.[\\w-]+)"`, 's');
    const sealed = files.map((file) => event.exec(file.toString('latin1'))?.[1]).find((found) => found) ?? '';
    const privateKey = open(sealed, secret, `signing key tokens ${kid}`);

    // It is the right one: what it signs, the published key verifies.
    const d = privateKey.toString('base64url');
    const message = Buffer.from('a message');
    const signature = sign(null, message, { key: { kty: 'OKP', crv: 'Ed25519', x, d }, format: 'jwk' });
    const published = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    expect(verify(null, message, published, signature)).toBe(true);

    const forms = [privateKey, ...(['hex', 'base64', 'base64url'] as const).map((form) => privateKey.toString(form))];
    for (const file of files) for (const form of forms) expect(file.includes(form)).toBe(false);
    for (const file of files) expect(file.includes(secret)).toBe(false);
    const wrong = `${secret.slice(0, -2)}AA`;
    expect(() => open(sealed, wrong, `signing key tokens ${kid}`)).toThrow();
    expect(() => open(sealed, secret, 'signing key tokens another')).toThrow();
  });
});
