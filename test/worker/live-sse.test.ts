import { describe, expect, it, vi } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { attachments, bigPatch, change, contextWith, upTo } from '../support/live.ts';

/** A reader of server-sent events that takes one chunk at a time. */
class SseReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  text = '';
  isDone = false;

  constructor(response: Response) {
    if (response.status !== 200 || !response.body) throw new Error(`${response.status}`);
    this.#reader = response.body.getReader();
  }

  get versions(): number[] {
    return [...this.text.matchAll(/^id: (\d{16})_\w{8}\nevent: /gm)].map(([, id]) => Number(id));
  }

  /** Reads until it has an event: one chunk can bring that and others after it. */
  async untilVersion(version: number): Promise<void> {
    while ((this.versions.at(-1) ?? 0) < version && !this.isDone) await this.#read();
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }

  async #read(): Promise<void> {
    const { done, value } = await this.#reader.read();
    this.isDone = done;
    this.text += this.#decoder.decode(value, { stream: true });
  }
}

async function follow(id: string): Promise<SseReader> {
  return new SseReader(await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'text/event-stream' } }));
}

describe('a reader of server-sent events', () => {
  it('that takes its time gets a history longer than the window complete and in order', async () => {
    const id = await contextWith(30, 60_000);
    const reader = await follow(id);
    await reader.untilVersion(2);
    await change(id, bigPatch(31, 60_000));
    await reader.untilVersion(31);
    expect(reader.versions).toEqual(upTo(31));
    await reader.cancel();
  });

  it('that leaves is forgotten with the next event', async () => {
    const { id } = await createContext();
    const reader = await follow(id);
    await reader.untilVersion(1);
    await reader.cancel();
    await change(id, { name: 'Next' });
    await change(id, { name: 'And next' });
    await vi.waitFor(async () => expect(await attachments(id)).toEqual([]));
  });
});
