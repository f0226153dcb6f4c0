import { get } from 'node:http';
import { API_KEY } from './api-key.ts';

/** An answer that was read to its end. */
export interface Download {
  readonly ms: number;
  readonly bytes: number;
}

/** Reads the NDJSON at an address to its end and throws it away. */
export function download(url: string): Promise<Download> {
  const started = performance.now();
  const headers = { Authorization: `Bearer ${API_KEY}`, Accept: 'application/x-ndjson' };
  return new Promise((resolve, reject) => {
    get(url, { headers }, (response) => {
      let bytes = 0;
      if (response.statusCode !== 200) reject(new Error(`${url} was answered ${response.statusCode}`));
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ ms: performance.now() - started, bytes }));
    }).on('error', reject);
  });
}
