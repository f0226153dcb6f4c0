import { describe, expect, it } from 'vitest';
import { BOOTSTRAP_ACTOR } from '../../src/auth/bootstrap-actor.ts';
import { createContext } from '../support/api.ts';
import {
  expectInvalid,
  expectProblem,
  patch,
  patchText,
  post,
  withNothingCreated,
  withNothingWritten,
} from '../support/rest.ts';

const UNKNOWN = 'is not a known field; leave it out';
const NUL = 'must not hold a NUL character (U+0000)';
const SURROGATE = 'must not hold a lone surrogate (half of a UTF-16 pair)';
const MiB = 1024 * 1024;

/** What the members of a body must be: sent in a creation and in a patch, with the pointer and the words they get. */
const badMembers: [what: string, member: string, pointer: string, message: string][] = [
  ['a blank name', '"name":" \\t\\u00a0\\ufeff "', '/name', 'must not be blank'],
  ['an empty name', '"name":""', '/name', 'must not be blank'],
  ['a name of 201 characters', `"name":"${'x'.repeat(201)}"`, '/name', 'must have at most 200 characters'],
  ['a name of 201 emoji', `"name":"${'😀'.repeat(201)}"`, '/name', 'must have at most 200 characters'],
  ['NUL in the name', '"name":"a\\u0000b"', '/name', NUL],
  ['half of a surrogate pair in the name', '"name":"a\\ud800"', '/name', SURROGATE],
  [
    'a description that is too long',
    `"description":"${'x'.repeat(10_001)}"`,
    '/description',
    'must have at most 10000 characters',
  ],
  ['half of a surrogate pair in the description', '"description":"\\udc00\\ud800"', '/description', SURROGATE],
  ['101 systems', `"systems":${JSON.stringify(labels(101))}`, '/systems', 'must have at most 100 items'],
  ['101 tools', `"tools":${JSON.stringify(labels(101))}`, '/tools', 'must have at most 100 items'],
  ['a system named twice', '"systems":["a","b","a"]', '/systems/2', 'is there already; name it once'],
  ['tools that are the same once trimmed', '"tools":["a"," a "]', '/tools/1', 'is there already; name it once'],
  ['a blank system', '"systems":["a"," "]', '/systems/1', 'must not be blank'],
  ['a tool of 101 characters', `"tools":["${'x'.repeat(101)}"]`, '/tools/0', 'must have at most 100 characters'],
  ['NUL in a tool', '"tools":["\\u0000x"]', '/tools/0', NUL],
  [
    'metadata over 64 KiB',
    `"metadata":{"x":"${'x'.repeat(65_529)}"}`,
    '/metadata',
    'must have at most 65536 bytes as compact JSON',
  ],
  [
    'metadata over 64 KiB in UTF-8',
    `"metadata":{"x":"${'é'.repeat(40_000)}"}`,
    '/metadata',
    'must have at most 65536 bytes as compact JSON',
  ],
  [
    'metadata of 17 levels',
    `"metadata":${nested(17)}`,
    `/metadata${'/a'.repeat(16)}`,
    'is nested too deeply; flatten it',
  ],
  [
    'metadata nested 50,000 deep',
    `"metadata":${nested(50_000)}`,
    `/metadata${'/a'.repeat(16)}`,
    'is nested too deeply; flatten it',
  ],
  [
    'arrays nested 50,000 deep',
    `"metadata":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    `/metadata/a${'/0'.repeat(15)}`,
    'is nested too deeply; flatten it',
  ],
  [
    '__proto__ in metadata',
    '"metadata":{"__proto__":{"admin":true}}',
    '/metadata/__proto__',
    'is a key that is not allowed; rename it',
  ],
  [
    'constructor deep in metadata',
    '"metadata":{"a":[{"constructor":1}]}',
    '/metadata/a/0/constructor',
    'is a key that is not allowed; rename it',
  ],
  [
    'an escaped __proto__',
    '"metadata":{"\\u005f_proto__":1}',
    '/metadata/__proto__',
    'is a key that is not allowed; rename it',
  ],
  ['NUL in a metadata key', '"metadata":{"a\\u0000":1}', '/metadata/a\u0000', NUL],
  ['half of a surrogate pair in a metadata value', '"metadata":{"a":["\\ud83d"]}', '/metadata/a/0', SURROGATE],
  [
    'a number that is no double',
    '"metadata":{"n":-1e400}',
    '/metadata/n',
    'must be a number that a 64-bit double can hold',
  ],
  ['an unknown field', '"nmae":"x"', '/nmae', UNKNOWN],
  ['an id', '"id":"ctx_1"', '/id', UNKNOWN],
  ['a version', '"version":7', '/version', UNKNOWN],
  ['a status', '"status":"deleted"', '/status', UNKNOWN],
  ['a chittyId', '"chittyId":"03-1-USA-5537-P-2602-0-38"', '/chittyId', UNKNOWN],
  ['__proto__ as a field', '"__proto__":{"name":"x"}', '/__proto__', UNKNOWN],
  ['constructor as a field', '"constructor":1', '/constructor', UNKNOWN],
  ['an unknown field with a slash and a tilde', '"a/b~c":1', '/a~1b~0c', UNKNOWN],
];

/** Types that are wrong, and the words that should tell so. */
const wrongTypes: [what: string, member: string, pointer: string, message: string][] = [
  ['a number as the name', '"name":5', '/name', 'must be a string'],
  ['null as the name', '"name":null', '/name', 'must be a string'],
  ['a list as the name', '"name":["x"]', '/name', 'must be a string'],
  ['an object as the description', '"description":{}', '/description', 'must be a string'],
  ['a text as the systems', '"systems":"github"', '/systems', 'must be an array'],
  ['a number among the tools', '"tools":["a",1]', '/tools/1', 'must be a string'],
  ['null among the tools', '"tools":[null]', '/tools/0', 'must be a string'],
  ['a list as the metadata', '"metadata":[]', '/metadata', 'must be a JSON object'],
  ['a text as the metadata', '"metadata":"x"', '/metadata', 'must be a JSON object'],
];

/** A creation's body with one member replaced or added. */
function creationWith(member: string): string {
  return member.startsWith('"name"') ? `{${member}}` : `{"name":"x",${member}}`;
}

describe('a field that is not valid', () => {
  it.each(badMembers)('%s is refused on creation', async (_what, member, pointer, message) => {
    await expectInvalid(await withNothingCreated(() => post(creationWith(member))), pointer, message);
  });

  it.each(badMembers)('%s is refused in a patch and changes nothing', async (_what, member, pointer, message) => {
    const { id } = await createContext();
    await expectInvalid(await withNothingWritten(id, () => patchText(id, `{${member}}`)), pointer, message);
  });

  it.each(wrongTypes)('%s is a 400 that points at it', async (_what, member, pointer) => {
    const { errors } = await expectProblem(await withNothingCreated(() => post(creationWith(member))), 400, 'invalid');
    expect(errors?.map((error) => error.pointer)).toEqual([pointer]);
  });

  // Zod keeps the input out of its issues unless it is asked to report it, so every wrong type "is required".
  it.each(wrongTypes)('%s is told by what it must be', async (_what, member, pointer, message) => {
    await expectInvalid(await post(creationWith(member)), pointer, message);
  });

  it('a name that is missing is asked for', async () => {
    await expectInvalid(await withNothingCreated(() => post('{}')), '/name', 'is required');
  });

  it('an owner may not be somebody else', async () => {
    const response = await withNothingCreated(() => post('{"name":"x","owner":"act_somebody"}'));
    await expectInvalid(response, '/owner', `must be your own id, ${BOOTSTRAP_ACTOR}; leave it out and it is`);
  });

  it('an owner cannot be changed', async () => {
    const { id } = await createContext();
    await expectInvalid(await withNothingWritten(id, () => patch(id, { owner: BOOTSTRAP_ACTOR })), '/owner', UNKNOWN);
  });

  it('the answer names all faults at once, and the detail says so', async () => {
    const { errors, detail } = await expectProblem(await post('{"name":" ","tools":[""],"x":1}'), 400, 'invalid');
    expect(errors?.map((error) => error.pointer).sort()).toEqual(['/name', '/tools/0', '/x']);
    expect(detail).toContain('See "errors" for the others.');
  });

  it('the answer lists twenty faults at most', async () => {
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`f${index}`, 1]));
    const { errors } = await expectProblem(await post(JSON.stringify({ name: 'x', ...fields })), 400, 'invalid');
    expect(errors).toHaveLength(20);
  });

  it.each([
    ['an enormous unknown field', `{"name":"x","${'k'.repeat(MiB / 2)}":1}`],
    ['an enormous key in metadata', `{"name":"x","metadata":{"${'k'.repeat(MiB / 2)}":"\\u0000"}}`],
    ['enormous labels that are the same', JSON.stringify({ name: 'x', tools: Array(2).fill('k'.repeat(MiB / 4)) })],
  ])('the answer to %s is short', async (_what, body) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect((await response.text()).length).toBeLessThan(10_000);
  });

  // The pointer's tokens are escaped twice: a~1b becomes a~01b.
  it('the pointer to a metadata key with a slash or a tilde follows RFC 6901', async () => {
    await expectInvalid(await post('{"name":"x","metadata":{"a/b~":"\\u0000"}}'), '/metadata/a~1b~0', NUL);
  });
});

function labels(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `label ${index}`);
}

/** The text of an object with `levels` objects inside each other. */
function nested(levels: number): string {
  return `${'{"a":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`;
}
