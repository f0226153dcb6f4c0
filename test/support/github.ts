import { env } from 'cloudflare:workers';
import { BASE } from './api.ts';
import { configured } from './rest.ts';

/** Deliveries as GitHub makes them. */

const encoder = new TextEncoder();

/** The value of `X-Hub-Signature-256` for a body. */
export async function sign(body: string | Uint8Array<ArrayBuffer>, secret: string): Promise<string> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), algorithm, false, ['sign']);
  const bytes = typeof body === 'string' ? encoder.encode(body) : body;
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes));
  return `sha256=${Array.from(signature, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** A delivery. What is left out is as GitHub has it. */
export interface Delivery {
  readonly event?: string;
  readonly delivery?: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly signature?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The address of the webhook. */
export const WEBHOOK = '/integrations/github/webhook';

/** Delivers something to the webhook, signed unless the delivery says otherwise. */
export async function deliver(
  { event = 'installation', delivery = crypto.randomUUID(), body, signature, headers }: Delivery,
  variables: Partial<typeof env> = {},
): Promise<Response> {
  const secret = variables.GITHUB_WEBHOOK_SECRET ?? String(env.GITHUB_WEBHOOK_SECRET);
  const signed = signature === undefined ? await sign(body, secret) : signature;
  return configured(variables, WEBHOOK, {
    method: 'POST',
    body,
    headers: {
      'Content-Type': 'application/json',
      'X-GitHub-Event': event,
      'X-GitHub-Delivery': delivery,
      ...(signed !== null && { 'X-Hub-Signature-256': signed }),
      ...headers,
    },
  });
}

/** A payload in GitHub's form, with more in it than is kept. */
export function payload(githubId: number, action: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const { installation, ...rest } = more;
  return {
    action,
    installation: {
      id: githubId,
      account: { login: 'Octo-Org', id: 21_031_067, node_id: 'MDQ6', type: 'Organization', site_admin: false },
      repository_selection: 'selected',
      access_tokens_url: `${BASE}/access_tokens`,
      app_id: 29_310,
      target_type: 'Organization',
      permissions: { issues: 'write', metadata: 'read' },
      events: ['push', 'issues'],
      created_at: 1_557_933_591,
      updated_at: 1_557_933_591,
      single_file_name: null,
      suspended_at: null,
      ...(installation ?? {}),
    },
    sender: { login: 'octocat', id: 1 },
    ...rest,
  };
}

/** A repository in GitHub's form. */
export function repository(id: number, name = `octo-org/repo-${id}`): Record<string, unknown> {
  return { id, node_id: 'MDEw', name: name.slice(name.indexOf('/') + 1), full_name: name, private: true };
}
