import { describe, expect, it } from 'vitest';
import { as, expectJson, keyHolder, startSession } from '../support/actors.ts';
import { delegate, readDelegation, revoke, sendForm, statusOf, within5s, world } from '../support/delegations.ts';
import { fullClaims, ISSUER, inSeconds, signedByUs, withClaims } from '../support/forge.ts';
import { derivedId, expectProblem } from '../support/rest.ts';

describe('nobody gets in with a token that was', () => {
  it('signed by us for a delegation that nobody made', async () => {
    const { ann, ben, context } = await world();
    const id = `${derivedId('dlg', 'never made')}_${ann.id.slice(4)}`;
    const claims = { sub: ann.id, act: { sub: ben.id }, jti: id, chain: [id], scope: 'contexts:read' };
    expect(await statusOf(await signedByUs(fullClaims({ sid: undefined, ...claims })), context.id)).toBe(401);
  });

  it('signed by us but says more than what was recorded', async () => {
    const { ann, ben, cem, context } = await world();
    const made = await delegate(ann.key, ben.id, ['contexts:read'], { contexts: [context.id] });
    const right = {
      sid: undefined,
      sub: ann.id,
      act: { sub: ben.id },
      jti: made.id,
      chain: [made.id],
      scope: 'contexts:read',
      contexts: [context.id],
      exp: inSeconds(60),
    };
    expect(await statusOf(await signedByUs(fullClaims(right)), context.id)).toBe(200);
    const wrong = [
      { scope: 'contexts:read contexts:write' },
      { scope: 'admin' },
      { contexts: undefined },
      { contexts: [context.id, derivedId('ctx', 'another')] },
      { act: { sub: cem.id } },
      { sub: ben.id },
      { act: { sub: ben.id, act: { sub: cem.id } } },
      { chain: [made.id, made.id], act: { sub: ben.id, act: { sub: ann.id } } },
      { jti: 'dlg_x' },
    ];
    for (const change of wrong) {
      const token = await signedByUs(fullClaims({ ...right, ...change }));
      expect([change, await statusOf(token, context.id)]).toEqual([change, 401]);
    }
  });

  it('changed after it was signed', async () => {
    const { ann, ben, context } = await world();
    const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
    expect(await statusOf(withClaims(token, { scope: 'contexts:read contexts:write' }), context.id)).toBe(401);
    expect(await statusOf(withClaims(token, { exp: inSeconds(99_999) }), context.id)).toBe(401);
  });
});

describe('introspection (RFC 7662)', () => {
  async function introspect(credential: string, token: string) {
    return expectJson<Record<string, unknown>>(await sendForm(credential, '/oauth/introspect', { token }), 200);
  }

  it('tells what a token is good for, to services that are known here, and takes no use', async () => {
    const { ann, ben, cem } = await world();
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 1 });
    const told = await introspect(cem.key, token);
    expect(told).toMatchObject({ active: true, sub: ann.id, client_id: ben.id, act: { sub: ben.id }, jti: id });
    expect(told).toMatchObject({ scope: 'contexts:read', token_type: 'Bearer', chain: [id], iss: ISSUER });
    expect((await readDelegation(ann.key, id)).uses).toBe(0);
    await as(token, '/v1/contexts');
    expect(await introspect(cem.key, token)).toEqual({ active: false });
  });

  it('says nothing but that it is not active of everything else', async () => {
    const { ann, ben, cem } = await world();
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read']);
    await revoke(ann.key, id);
    await within5s(async () => expect(await introspect(cem.key, token)).toEqual({ active: false }));
    for (const text of ['', 'x', ann.key, withClaims(token, { sub: cem.id }), await signedByUs(fullClaims())]) {
      expect(await introspect(cem.key, text)).toEqual({ active: false });
    }
  });

  it('is not for strangers, and takes a form with a token', async () => {
    const stranger = await sendForm('wrong', '/oauth/introspect', { token: 'x' });
    await expectProblem(stranger, 401, 'unauthorized');
    const { key } = await keyHolder();
    const body = await expectProblem(await sendForm(key, '/oauth/introspect', {}), 400, 'invalid');
    expect(body).toMatchObject({ error: 'invalid_request', errors: [{ pointer: 'token' }] });
    const twice = { method: 'POST', body: new URLSearchParams('token=a&token=b') };
    await expectProblem(await as(key, '/oauth/introspect', twice), 400, 'invalid');
    const json = await as(key, '/oauth/introspect', { method: 'POST', json: { token: 'x' } });
    await expectProblem(json, 415, 'unsupported-media-type');
  });

  it('tells of the tokens of sessions too', async () => {
    const { ann, cem } = await world();
    const session = await startSession(ann.key);
    expect(await introspect(cem.key, session.accessToken)).toMatchObject({
      active: true,
      sub: ann.id,
      sid: session.id,
    });
  });
});

describe('revocation (RFC 7009)', () => {
  it('ends a delegation for who has it, gave it or is above, with the token alone', async () => {
    const { ann, ben, cem, context } = await world();
    for (const credential of [ann.key, ben.key, 'itself']) {
      const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
      const stranger = await sendForm(cem.key, '/oauth/revoke', { token });
      await expectProblem(stranger, 403, 'forbidden');
      expect(await statusOf(token, context.id)).toBe(200);
      const response = await sendForm(credential === 'itself' ? token : credential, '/oauth/revoke', { token });
      expect([response.status, await response.text()]).toEqual([200, '']);
      await within5s(async () => expect(await statusOf(token, context.id)).toBe(401));
      expect((await sendForm(ann.key, '/oauth/revoke', { token })).status).toBe(200);
    }
  });

  it('ends a session for its actor', async () => {
    const { ann, ben } = await world();
    const session = await startSession(ann.key);
    const token = session.accessToken;
    await expectProblem(await sendForm(ben.key, '/oauth/revoke', { token }), 403, 'forbidden');
    expect((await sendForm(token, '/oauth/revoke', { token })).status).toBe(200);
    await within5s(async () => expect((await as(token, '/v1/contexts')).status).toBe(401));
  });

  it('answers 200 to what it does not know, and 401 to strangers', async () => {
    const { ann } = await world();
    expect((await sendForm(ann.key, '/oauth/revoke', { token: 'nothing' })).status).toBe(200);
    await expectProblem(await sendForm('wrong', '/oauth/revoke', { token: 'x' }), 401, 'unauthorized');
    await expectProblem(await sendForm(ann.key, '/oauth/revoke', {}), 400, 'invalid');
  });
});
