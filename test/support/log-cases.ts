import { vi } from 'vitest';
import { derivedId } from '../../events/id.ts';
import { api, createContext } from './api.ts';
import { configured } from './rest.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const nobody = `/v1/contexts/${derivedId('ctx', 'log cases: nobody')}`;

/** A deployment that has no key to keep the log's keys under. */
const noLog = { KEY_ENCRYPTION_KEY: '' };

/** A log with something in it. */
async function logged(): Promise<string> {
  const { id } = await createContext();
  await (await api(`/v1/contexts/${id}/bundle?wait=20`)).arrayBuffer();
  return id;
}

/** The newest tile of level 0. */
async function tile(kind: string): Promise<Response> {
  await logged();
  const [, size] = (await (await api('/log/checkpoint')).text()).split('\n');
  const width = Number(size) % 256;
  const index = String(Math.floor(Number(size) / 256)).padStart(3, '0');
  return api(`/log/tile/${kind}/${width === 0 ? '000' : `${index}.p/${width}`}`);
}

/** What is answered for the bundle of a stream made just now; of the next one when a checkpoint came in between. */
export function notYetLogged(make: () => Promise<string>): Promise<Response> {
  return vi.waitFor(async () => {
    const response = await api(`${await make()}/bundle?wait=0`);
    if (response.status !== 503) throw new Error(`${response.status}: ${await response.text()}`);
    return response;
  });
}

/** What the routes of the transparency log answer. */
export const logCases: readonly Case[] = [
  ['readCheckpoint', 200, async () => logged().then(() => api('/log/checkpoint'))],
  ['readCheckpoint', 400, () => api('/log/checkpoint?x=1')],
  ['readCheckpoint', 503, () => configured(noLog, '/log/checkpoint')],
  ['readTile', 200, () => tile('0')],
  ['readTile', 200, () => tile('entries')],
  ['readTile', 400, () => api('/log/tile/0/000?x=1')],
  ['readTile', 404, () => api('/log/tile/0/x999/999')],
  ['readTile', 404, () => api('/log/tile/0/0')],
  ['readTile', 503, () => configured(noLog, '/log/tile/0/000')],
  ['readLogKeys', 200, async () => logged().then(() => api('/log/keys'))],
  ['readLogKeys', 400, () => api('/log/keys?x=1')],
  ['readLogKeys', 503, () => configured(noLog, '/log/keys')],
  ['readBundle', 200, async () => api(`/v1/contexts/${await logged()}/bundle`)],
  ['readBundle', 400, () => api(`${nobody}/bundle?wait=61`)],
  ['readBundle', 401, () => api(`${nobody}/bundle`, { headers: { 'X-API-Key': 'wrong' } })],
  ['readBundle', 404, () => api(`${nobody}/bundle`)],
  ['readBundle', 503, () => notYetLogged(async () => `/v1/contexts/${(await createContext()).id}`)],
];
