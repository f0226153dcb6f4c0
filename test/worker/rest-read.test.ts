import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { derivedId, expectInvalid, expectProblem, history, objectOf, patch, read } from '../support/rest.ts';

const AT = 'must be a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z';
const AT_VERSION = 'must be a whole number from 1 to 9007199254740991';

/** A context with three versions, and the time of each event. */
async function threeVersions(): Promise<{ id: string; times: string[] }> {
  const { id } = await createContext({ name: 'One' });
  for (const name of ['Two', 'Three']) {
    const { time } = (await history(id)).at(-1) ?? { time: '' };
    await expect.poll(() => new Date().toISOString() > time, { interval: 1 }).toBe(true);
    await patch(id, { name });
  }
  return { id, times: (await history(id)).map((event) => event.time) };
}

describe('reading a context', () => {
  it('gives the context, its ETag and no permission to cache', async () => {
    const created = await createContext({ name: 'x' });
    const response = await read(created.id);
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(response.headers.get('Cache-Control')).toBe('no-store');
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(await response.json()).toEqual(created);
  });

  it('of a well-formed id that nobody has made is 404', async () => {
    await expectProblem(await read(derivedId('ctx', 'unknown')), 404, 'not-found');
    await expectProblem(await read(derivedId('ctx', 'unknown'), '?at=1'), 404, 'not-found');
  });

  it('refuses a query parameter that it does not know, so that a typing error is seen', async () => {
    const { id } = await createContext();
    await expectInvalid(await read(id, '?ta=1'), 'ta', 'is not a query parameter here; known are: at, form');
    await expectInvalid(
      await read(id, '?__proto__=1'),
      '__proto__',
      'is not a query parameter here; known are: at, form',
    );
  });
});

describe('HEAD', () => {
  it('gives the headers of GET and no body', async () => {
    const { id } = await createContext();
    const response = await api(`/v1/contexts/${id}`, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(response.headers.get('ETag')).toBe('"1"');
    expect(await response.text()).toBe('');
  });

  it('gives the status of GET when there is nothing', async () => {
    expect((await api(`/v1/contexts/${derivedId('ctx', 'head')}`, { method: 'HEAD' })).status).toBe(404);
  });

  it('honours If-None-Match', async () => {
    const { id } = await createContext();
    const init = { method: 'HEAD', headers: { 'If-None-Match': '"1"' } };
    expect((await api(`/v1/contexts/${id}`, init)).status).toBe(304);
  });
});

describe('If-None-Match', () => {
  it.each(['"1"', 'W/"1"', '*', '"9", "1"', ' "1" ', '"9","x" , W/"1"'])(
    'gives 304 with the ETag and no body for %s',
    async (tags) => {
      const { id } = await createContext();
      const response = await read(id, '', { 'If-None-Match': tags });
      expect(response.status).toBe(304);
      expect(response.headers.get('ETag')).toBe('"1"');
      expect(await response.text()).toBe('');
    },
  );

  it.each(['"2"', 'W/"2"', '"01"', '""', '"9", "8"'])('gives the context for %s', async (tags) => {
    const { id } = await createContext();
    expect((await read(id, '', { 'If-None-Match': tags })).status).toBe(200);
  });

  it.each(['1', "'1'", '"1', '1"', 'w/"1"', '"1" "2"', '" 1"'])(
    'is 400 for %s, which says how it is written',
    async (tags) => {
      const { id } = await createContext();
      await expectInvalid(
        await read(id, '', { 'If-None-Match': tags }),
        'If-None-Match',
        'must be "*" or entity tags as they stand in ETag, quotes included, such as "3"',
      );
    },
  );

  it('compares with the version that ?at= asks for', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' });
    expect((await read(id, '?at=1', { 'If-None-Match': '"1"' })).status).toBe(304);
    expect((await read(id, '?at=1', { 'If-None-Match': '"2"' })).status).toBe(200);
  });

  // RFC 9110, section 15.4.5: a 304 repeats the Cache-Control that the 200 would have had.
  it('gives 304 with the same Cache-Control as 200', async () => {
    const { id } = await createContext();
    const response = await read(id, '', { 'If-None-Match': '"1"' });
    expect(response.headers.get('Cache-Control')).toBe('no-store');
  });
});

describe('?at=', () => {
  it('a version gives the context as it was, with the ETag of then', async () => {
    const { id } = await threeVersions();
    for (const [index, name] of ['One', 'Two', 'Three'].entries()) {
      const response = await read(id, `?at=${index + 1}`);
      expect(response.headers.get('ETag')).toBe(`"${index + 1}"`);
      expect(await response.json()).toMatchObject({ name, version: index + 1 });
    }
  });

  it('a version after the end gives the latest', async () => {
    const { id } = await threeVersions();
    for (const version of ['4', '999999', '9007199254740991']) {
      expect(await (await read(id, `?at=${version}`)).json()).toMatchObject({ name: 'Three', version: 3 });
    }
  });

  it('the time of an event gives the context right after it', async () => {
    const { id, times } = await threeVersions();
    for (const [index, time] of times.entries()) {
      expect(await (await read(id, `?at=${time}`)).json()).toMatchObject({ version: index + 1 });
    }
  });

  it('a millisecond before an event gives the context before it', async () => {
    const { id, times } = await threeVersions();
    const justBefore = (time = '') => new Date(Date.parse(time) - 1).toISOString();
    expect(await (await read(id, `?at=${justBefore(times[2])}`)).json()).toMatchObject({ version: 2 });
    await expectProblem(await read(id, `?at=${justBefore(times[0])}`), 404, 'before-creation');
  });

  it('a time may have any zone, also with an unescaped plus sign, and up to nine decimals', async () => {
    const { id, times } = await threeVersions();
    const at = Date.parse(times[1] ?? '');
    const [east, west] = [3_600_000, -19_800_000].map((shift) => new Date(at + shift).toISOString().slice(0, -1));
    for (const query of [`${east}+01:00`, `${east}%2B01:00`, `${west}-05:30`, `${east}000000%2B01:00`]) {
      const response = await read(id, `?at=${query}`);
      expect(await response.json(), query).toMatchObject({ version: 2 });
    }
  });

  it('a time after the end gives the latest', async () => {
    const { id } = await threeVersions();
    for (const time of ['2999-01-01T00:00:00Z', '9999-12-31T23:59:59Z']) {
      expect(await (await read(id, `?at=${time}`)).json()).toMatchObject({ version: 3 });
    }
  });

  // Such a time is in the year 10000 of UTC, which toISOString writes with a sign that sorts before every digit.
  it('the last hours of the year 9999 west of Greenwich give the latest, too', async () => {
    const { id } = await threeVersions();
    const response = await read(id, '?at=9999-12-31T23:59:59-01:00');
    expect(response.status).toBe(200);
  });

  it('a time before creation is 404', async () => {
    const { id } = await createContext();
    for (const time of ['2001-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '0000-01-01T00:00:00%2B23:00']) {
      await expectProblem(await read(id, `?at=${time}`), 404, 'before-creation');
    }
  });

  it('gives the same after an eviction', async () => {
    const { id } = await threeVersions();
    const before = await (await read(id, '?at=2')).text();
    await evictDurableObject(objectOf(id));
    expect(await (await read(id, '?at=2')).text()).toBe(before);
  });

  it.each([
    ['', AT],
    ['yesterday', AT],
    ['-1', AT],
    ['1.5', AT],
    ['1e3', AT],
    ['0x1', AT],
    ['%201', AT],
    ['١', AT],
    ['2026-01-31', AT],
    ['2026-01-31T12:00:00', AT],
    ['2026-01-31T12:00Z', AT],
    ['2026-13-01T00:00:00Z', AT],
    ['2026-01-31T25:00:00Z', AT],
    ['2026-01-31T12:00:60Z', AT],
    ['2026-01-31T12:00:00%2B99:00', AT],
    ['2026-01-31T12:00:00.1234567890Z', AT],
    ['%2B002026-01-31T12:00:00Z', AT],
    ['2026-01-31T12:00:00Z%00', AT],
    [`${'9'.repeat(5000)}`, AT_VERSION],
    ['0', AT_VERSION],
    ['9007199254740992', AT_VERSION],
  ])('"%s" is 400 and says what it takes', async (at, message) => {
    const { id } = await createContext();
    await expectInvalid(await read(id, `?at=${at}`), 'at', message);
  });

  // JavaScript rolls them over into the next month.
  it.each(['2026-02-30T00:00:00Z', '2025-02-29T00:00:00Z', '2026-04-31T00:00:00Z'])(
    '%s is 400, because there is no such day',
    async (at) => {
      const { id } = await createContext();
      await expectInvalid(await read(id, `?at=${at}`), 'at', AT);
    },
  );

  it('given twice is 400', async () => {
    const { id } = await createContext();
    await expectInvalid(await read(id, '?at=1&at=2'), 'at', 'must be given once');
    await expectInvalid(await read(id, '?at=1&%61t=1'), 'at', 'must be given once');
  });

  it('given twice is 400 also when the first is empty', async () => {
    const { id } = await createContext();
    await expectInvalid(await read(id, '?at=&at=1'), 'at', 'must be given once');
  });
});
