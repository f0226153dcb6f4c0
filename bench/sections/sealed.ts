import { type Comparison, compareAll } from '../compare.ts';
import { CHANGE_HEADERS } from '../contexts.ts';
import type { Section } from '../section.ts';
import { startProduct } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Makes contexts over REST, of which a member of the metadata is somebody's words or is not. @returns their ids */
async function createContexts(url: string, isPersonal: boolean): Promise<string[]> {
  const privacy = [{ pointer: '/metadata/customer', subject: 'customer-42' }];
  const ids: string[] = [];
  for (let index = 0; index < OBJECTS; index++) {
    const response = await fetch(`${url}/v1/contexts`, {
      method: 'POST',
      headers: { ...CHANGE_HEADERS, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: `Context ${index}`, ...(isPersonal && { privacy }) }),
    });
    const location = response.headers.get('Location');
    if (response.status !== 201 || location === null) throw new Error(`Not created: ${await response.text()}`);
    await response.text();
    ids.push(location.slice(location.lastIndexOf('/') + 1));
  }
  return ids;
}

/** What it costs to encrypt somebody's words before they are hashed. */
export const sealed: Section = {
  name: 'sealed',
  title: 'A change with encrypted words',
  method:
    `The same \`PATCH\` of the same server, over ${OBJECTS} contexts and over one, of a name, an address and a number in ` +
    'the metadata: encrypted under the key of a subject, and as it is. 64 connections, in turns.',
  explanation:
    'What bounds it, read from the code: one XChaCha20-Poly1305 in JavaScript for the value that changed (it is opened ' +
    'from memory, not decrypted), an event and a row that are longer by a third of the value and some hundred bytes, and ' +
    'a walk through the state, which leaves out what did not change.',
  async run(options) {
    const server = await startProduct(options.workspace);
    try {
      const [personal, plain] = [await createContexts(server.url, true), await createContexts(server.url, false)];
      const change = (ids: readonly string[], count: number) => (index: number) => ({
        method: 'PATCH' as const,
        path: `/v1/contexts/${ids[index % count]}`,
        headers: CHANGE_HEADERS,
        body: `{"metadata":{"customer":{"name":"Hedwig Zwicknagel","street":"Lindenweg 3","order":${index}}}}`,
      });
      const comparisons: Comparison[] = [OBJECTS, 1].map((count) => ({
        name: count === 1 ? 'one hot context' : `${count} contexts`,
        subject: { server, request: change(personal, count) },
        baseline: { server, request: change(plain, count) },
        aim: 0.8,
      }));
      return { table: await compareAll(comparisons, ['encrypted', 'as it is'], options) };
    } finally {
      await server.stop();
    }
  },
};
