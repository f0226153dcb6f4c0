import { type Comparison, compareAll } from '../compare.ts';
import { change } from '../contexts.ts';
import { call, delegate, limit, register } from '../identities.ts';
import type { Section } from '../section.ts';
import { startProduct } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** More than the load can ask for: what is measured is the way in, not the limits. */
const UNLIMITED = { requests: 10_000_000, seconds: 1 };

/** So many turns for each one of the other sections, each a part as long: the machine changes in the course of a round. */
const TURNS = 3;

/** What it costs to be let in by each kind of credential. */
export const credentials: Section = {
  name: 'credentials',
  title: 'A change by each kind of credential',
  method:
    `The same \`PATCH\` over the same ${OBJECTS} contexts of the same server, by the bootstrap key, which is configuration, ` +
    'and by what has to be looked up: a stored API key, a session’s access token, and a delegated token whose rights have ' +
    'gone through three hands. 64 connections, in turns, which are shorter than elsewhere, and more.',
  explanation:
    'What bounds it: a credential that was found right is remembered by the isolate, and so is what the actors’ objects ' +
    'say of it, for at most four seconds; in that time a request asks no second object and verifies no signature. What ' +
    'remains is to look at limits, a header more in the answer, and the role, which each object decides by itself.',
  async run(options) {
    const server = await startProduct(options.workspace);
    try {
      const { url } = server;
      const classes = { read: UNLIMITED, search: UNLIMITED, write: UNLIMITED, manage: UNLIMITED };
      await limit(url, { classes });
      const owner = await register(url, 'Owner');
      const chain = [owner, ...(await Promise.all(['First', 'Second', 'Third'].map((name) => register(url, name))))];
      const ids: string[] = [];
      for (let n = 0; n < OBJECTS; n++) {
        ids.push((await call<{ id: string }>(`${url}/v1/contexts`, 'POST', { name: `Context ${n}` }, owner.key)).id);
      }
      const session = await call<{ accessToken: string }>(`${url}/v1/sessions`, 'POST', {}, owner.key);
      const by = (credential: string) => (index: number) => {
        const request = change(ids, index);
        return { ...request, headers: { ...request.headers, Authorization: `Bearer ${credential}` } };
      };
      const comparisons: Comparison[] = [
        ['a stored API key', owner.key],
        ['a session', session.accessToken],
        ['a delegated token, depth 3', await delegate(url, chain)],
      ].map(([name = '', credential = '']) => ({
        name,
        subject: { server, request: by(credential) },
        baseline: { server, request: (index) => change(ids, index) },
        aim: 0.95,
      }));
      const turns = { ...options, rounds: TURNS * options.rounds, roundMs: options.roundMs / TURNS };
      return { table: await compareAll(comparisons, ['by it', 'by the bootstrap key'], turns) };
    } finally {
      await server.stop();
    }
  },
};
