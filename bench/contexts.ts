import { API_KEY } from './api-key.ts';
import type { LoadRequest } from './load.ts';

/** Headers of a full change: what a REST client has to send. */
export const CHANGE_HEADERS = {
  Authorization: `Bearer ${API_KEY}`,
  'Content-Type': 'application/merge-patch+json',
};

/** The body of the change with this number: name and description are new each time. */
export function changeBody(index: number): string {
  return `{"name":"Quarterly planning ${index}","description":"What the team does in round ${index}"}`;
}

/** The change with this number, over the given contexts in turn. */
export function change(ids: readonly string[], index: number): LoadRequest {
  return {
    method: 'PATCH',
    path: `/v1/contexts/${ids[index % ids.length]}`,
    headers: CHANGE_HEADERS,
    body: changeBody(index),
  };
}

/** Makes contexts over REST. @returns their ids */
export async function createContexts(url: string, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index++) {
    const response = await fetch(`${url}/v1/contexts`, {
      method: 'POST',
      headers: { ...CHANGE_HEADERS, 'Content-Type': 'application/json' },
      body: `{"name":"Context ${index}"}`,
    });
    const location = response.headers.get('Location');
    if (response.status !== 201 || location === null) throw new Error(`Not created: ${await response.text()}`);
    await response.text();
    ids.push(location.slice(location.lastIndexOf('/') + 1));
  }
  return ids;
}
