import { expect } from 'vitest';
import { z } from 'zod';
import { api } from './api.ts';

const content = z.record(z.string(), z.object({ schema: z.unknown() }));
const header = z.looseObject({ required: z.boolean().optional() });
const operation = z.looseObject({
  operationId: z.string(),
  parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })).default([]),
  requestBody: z.object({ content }).optional(),
  responses: z.record(
    z.string(),
    z.object({ headers: z.record(z.string(), header).default({}), content: content.default({}) }),
  ),
});
type Operation = z.infer<typeof operation>;

/** The document as it is served, with its references in the form that `z.fromJSONSchema` follows. */
export async function openApiDocument() {
  const text = (await (await api('/openapi.json')).text()).replaceAll('#/components/schemas/', '#/$defs/');
  return z
    .object({
      paths: z.record(z.string(), z.record(z.string(), z.unknown())),
      components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
    })
    .parse(JSON.parse(text));
}

/** The operation of the document by its id. */
export async function operationOf(operationId: string): Promise<Operation> {
  const operations = Object.values((await openApiDocument()).paths).flatMap((item) => Object.values(item));
  const found = operations
    .map((each) => operation.safeParse(each))
    .find((each) => each.data?.operationId === operationId);
  if (!found?.data) throw new Error(`${operationId} is not in the document`);
  return found.data;
}

/** A check of values against a schema of the document. */
export async function validator(schema: unknown): Promise<z.ZodType> {
  const { components } = await openApiDocument();
  const whole = z.looseObject({}).parse(schema);
  return z.fromJSONSchema({ ...whole, $defs: components.schemas } as z.core.JSONSchema.JSONSchema);
}

/** Checks that the document says of this operation what the response is: status, headers, media type and body. */
export async function expectDocumented(operationId: string, response: Response): Promise<void> {
  const { responses } = await operationOf(operationId);
  const documented = responses[String(response.status)];
  if (!documented) throw new Error(`${operationId}: ${response.status} is not documented`);
  for (const [name, { required }] of Object.entries(documented.headers)) {
    if (required) expect(response.headers.get(name), name).not.toBeNull();
  }
  response.webSocket?.accept();
  response.webSocket?.close();
  const mediaType = response.headers.get('Content-Type');
  if (mediaType === null) {
    expect(documented.content).toEqual({});
    return;
  }
  const form = documented.content[mediaType];
  if (!form) throw new Error(`${operationId}: ${response.status} as ${mediaType} is not documented`);
  if (mediaType === 'text/event-stream') return response.body?.cancel();
  const body = new TextDecoder().decode(await response.arrayBuffer());
  const value: unknown = mediaType.endsWith('json') && mediaType !== 'application/x-ndjson' ? JSON.parse(body) : body;
  expect((await validator(form.schema)).safeParse(value).error).toBeUndefined();
}
