import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, describe, expect, it } from 'vitest';
import { messageOf, newSecret, secretText, signedHeaders } from '../../src/webhooks/message.ts';

function hasTools(): boolean {
  try {
    execFileSync('bash', ['-c', 'true']);
    return /^OpenSSL [3-9]/.test(execFileSync('openssl', ['version'], { encoding: 'utf8' }));
  } catch {
    return false;
  }
}

const document = readFileSync('docs/protocol.md', 'utf8');
const [, script] = /### Verify one by hand[\s\S]*?```bash\n([\s\S]*?)```/.exec(document) ?? [];
const folder = mkdtempSync(join(tmpdir(), 'webhook-by-hand-'));
afterAll(() => rmSync(folder, { recursive: true }));

function verifyByHand(secret: string, headers: Record<string, string>, body: string): Promise<string> {
  const file = join(folder, 'body.json');
  writeFileSync(file, body);
  writeFileSync(join(folder, 'verify.sh'), script ?? 'exit 99');
  const named = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => headers[name] ?? '');
  return new Promise((resolve) => {
    execFile('bash', [join(folder, 'verify.sh'), secret, ...named, file], (error, stdout, stderr) => {
      resolve(`${Number(error?.code ?? 0)} ${(stdout + stderr).trim()}`);
    });
  });
}

const event = { id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC', type: 'context_updated', time: '2026-01-01T00:00:00.000Z', n: 'é ☃' };
const { id, body } = messageOf('whk_1', JSON.stringify(event));

describe('a webhook', () => {
  it('is verified by the official library, with either secret of a rotation', async () => {
    const [old, next] = [newSecret(), newSecret()];
    const headers = await signedHeaders(id, body, [old, next], Date.now());
    for (const secret of [old, next]) {
      expect(new Webhook(secretText(secret)).verify(body, headers)).toEqual(JSON.parse(body));
    }
    expect(() => new Webhook(secretText(newSecret())).verify(body, headers)).toThrow();
    const late = await signedHeaders(id, body, [old], Date.now() - 600_000);
    expect(() => new Webhook(secretText(old)).verify(body, late)).toThrow();
  });

  it('has an id that follows from the webhook and the event', () => {
    const text = JSON.stringify(event);
    expect(messageOf('whk_1', text).id).toBe(id);
    expect(messageOf('whk_2', text).id).not.toBe(id);
    expect(messageOf('whk_1', JSON.stringify({ ...event, id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABD' })).id).not.toBe(id);
  });
});

describe.skipIf(!hasTools())('the lines of docs/protocol.md, with bash and OpenSSL alone,', () => {
  it('verify what is signed with the secret, and nothing else', async () => {
    const [old, next] = [newSecret(), newSecret()];
    const headers = await signedHeaders(id, body, [old, next], Date.now());
    expect(await verifyByHand(secretText(old), headers, body)).toBe('0 verified');
    expect(await verifyByHand(secretText(next), headers, body)).toBe('0 verified');
    const wrong = '1 not signed with this secret';
    expect(await verifyByHand(secretText(newSecret()), headers, body)).toBe(wrong);
    expect(await verifyByHand(secretText(old), headers, `${body} `)).toBe(wrong);
    expect(await verifyByHand(secretText(old), { ...headers, 'webhook-id': 'msg_1' }, body)).toBe(wrong);
    const late = await signedHeaders(id, body, [old], Date.now() - 600_000);
    expect(await verifyByHand(secretText(old), late, body)).toMatch(/^1 signed 6\d\d s ago/);
  });
});
