import { describe, expect, it } from 'vitest';
import { createContext } from '../support/api.ts';
import {
  derivedId,
  expectInvalid,
  expectProblem,
  patch,
  read,
  remove,
  restore,
  withNothingWritten,
} from '../support/rest.ts';

const IF_MATCH = 'must be "*" or entity tags as they stand in ETag, quotes included, such as "3"';

describe('If-Match', () => {
  it.each(['"1"', '*', ' * ', '"7", "1"', '"7","1" ', 'W/"7", "1"'])(
    '%s lets a change of version 1 through',
    async (tags) => {
      const { id } = await createContext();
      const response = await patch(id, { name: 'New' }, { 'If-Match': tags });
      expect(response.status).toBe(200);
      expect(response.headers.get('ETag')).toBe('"2"');
    },
  );

  it.each([
    '"2"',
    'W/"1"',
    '"01"',
    '"1.0"',
    '"+1"',
    '""',
    '"something"',
    '"-1"',
    '"0"',
    '"99999999999999999999"',
    '"2", "3"',
  ])('%s is 412 with the current ETag and writes nothing', async (tags) => {
    const { id } = await createContext();
    const response = await withNothingWritten(id, () => patch(id, { name: 'New' }, { 'If-Match': tags }));
    expect(response.headers.get('ETag')).toBe('"1"');
    const { detail } = await expectProblem(response, 412, 'version-mismatch');
    expect(detail).toContain('The version is now 1');
  });

  it.each(['1', '" 1"', "'1'", '"1', '*, "1"', 'w/"1"', '"1"; "2"', '"1" "1"'])(
    '%s is 400, which says how it is written, and writes nothing',
    async (tags) => {
      const { id } = await createContext();
      const response = await withNothingWritten(id, () => patch(id, { name: 'New' }, { 'If-Match': tags }));
      await expectInvalid(response, 'If-Match', IF_MATCH);
    },
  );

  // A comma may stand inside an entity tag (RFC 9110, section 8.8.3).
  it('"a,b" is an entity tag like any other: 412', async () => {
    const { id } = await createContext();
    await expectProblem(await patch(id, { name: 'New' }, { 'If-Match': '"a,b"' }), 412, 'version-mismatch');
  });

  it('is checked before a patch that would change nothing', async () => {
    const { id } = await createContext({ name: 'Same' });
    await expectProblem(await patch(id, { name: 'Same' }, { 'If-Match': '"5"' }), 412, 'version-mismatch');
    expect((await patch(id, { name: 'Same' }, { 'If-Match': '"1"' })).headers.get('ETag')).toBe('"1"');
  });

  it('guards deletion', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' });
    const response = await withNothingWritten(id, () => remove(id, { 'If-Match': '"1"' }));
    expect(response.headers.get('ETag')).toBe('"2"');
    await expectProblem(response, 412, 'version-mismatch');
    expect((await remove(id, { 'If-Match': '"2"' })).status).toBe(204);
  });

  it('guards restoring', async () => {
    const { id } = await createContext();
    await remove(id);
    await expectProblem(await restore(id, { 'If-Match': '"1"' }), 412, 'version-mismatch');
    expect((await restore(id, { 'If-Match': '"2"' })).status).toBe(200);
  });

  it('of a stale version tells about the version first, also when the context is deleted', async () => {
    const { id } = await createContext();
    await remove(id);
    const response = await patch(id, { name: 'x' }, { 'If-Match': '"1"' });
    expect(response.headers.get('ETag')).toBe('"2"');
    await expectProblem(response, 412, 'version-mismatch');
    await expectProblem(await patch(id, { name: 'x' }, { 'If-Match': '"2"' }), 409, 'deleted');
  });

  it('of a context that is not there is 404', async () => {
    const id = derivedId('ctx', 'if-match');
    await expectProblem(await patch(id, { name: 'x' }, { 'If-Match': '"1"' }), 404, 'not-found');
  });

  it('lets one of many through that saw the same version', async () => {
    const { id } = await createContext();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => patch(id, { metadata: { winner: index } }, { 'If-Match': '"1"' })),
    );
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(answers.filter((answer) => answer.status === 412)).toHaveLength(19);
    expect((await read(id)).headers.get('ETag')).toBe('"2"');
  });
});
