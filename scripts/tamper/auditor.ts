import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ROOT } from '../../test/support/server.ts';

/** Where a server is, and who asks it. */
export interface Target {
  readonly url: string;
  readonly apiKey: string;
}

const verdictSchema = z.object({
  verified: z.boolean(),
  findings: z.array(
    z.object({
      code: z.string(),
      stream: z.string().nullable(),
      version: z.int().nullable(),
      through: z.int().nullable(),
      message: z.string(),
    }),
  ),
});

/** What `chittyconnect verify` says. */
export type AuditVerdict = z.infer<typeof verdictSchema>;

/** Somebody outside who keeps the keys and the last checkpoint that was verified, and nothing else. */
export class Auditor {
  readonly #keys: string;
  readonly #checkpoint: string;

  /** @param folder where things are kept @param name tells several apart */
  constructor(folder: string, name = 'kept') {
    this.#keys = join(folder, 'keys.json');
    this.#checkpoint = join(folder, `${name}.checkpoint`);
  }

  /** Keeps the keys that a server shows, as somebody does who trusts it for the first time. */
  async meet({ url }: Target): Promise<void> {
    writeFileSync(this.#keys, await (await fetch(`${url}/log/keys`)).text());
  }

  /** Keeps the checkpoint that a server shows. */
  async keep({ url }: Target): Promise<void> {
    writeFileSync(this.#checkpoint, await (await fetch(`${url}/log/checkpoint`)).text());
  }

  /** Verifies a server, against what is kept. @throws when the tool does not come to a verdict */
  verify({ url, apiKey }: Target): Promise<AuditVerdict> {
    const tool = join(ROOT, 'cli', 'chittyconnect.js');
    const args = ['verify', url, '--key', this.#keys, '--checkpoint', this.#checkpoint, '--complete', '--json'];
    const env = { ...process.env, CHITTYCONNECT_API_KEY: apiKey };
    return new Promise((resolve, reject) => {
      execFile(process.execPath, [tool, ...args], { env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
        const status = Number(error?.code ?? 0);
        if (status > 1) return reject(new Error(`verify ended with ${status}: ${stderr}`));
        const verdict = verdictSchema.parse(JSON.parse(stdout));
        if (verdict.verified !== (status === 0))
          return reject(new Error(`verify says one thing and ends with ${status}`));
        resolve(verdict);
      });
    });
  }
}
