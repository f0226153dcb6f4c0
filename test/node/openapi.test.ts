import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import spectral from '@stoplight/spectral-core';
import rulesets from '@stoplight/spectral-rulesets';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-openapi-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What the bundle below exports. */
const api = z.object({
  text: z.string(),
  routes: z.array(z.looseObject({ method: z.string(), path: z.string(), access: z.string() })),
});

const operation = z.looseObject({ operationId: z.string(), security: z.array(z.unknown()).optional() });
const openApi = z.looseObject({
  openapi: z.string(),
  paths: z.record(z.string(), z.record(z.string(), z.unknown())),
});

let text = '';
let routes: z.infer<typeof api>['routes'] = [];

beforeAll(async () => {
  const outfile = join(folder, 'api.mjs');
  await build({
    stdin: {
      contents: `
        import { openApiText } from './src/http/openapi.ts';
        import { routes } from './src/http/routes.ts';
        export const text = openApiText(routes);
        export { routes };`,
      resolveDir: '.',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    // What only the Workers runtime has must not be needed to build the document: it is external, and fails to load.
    external: ['cloudflare:*'],
    outfile,
    logLevel: 'silent',
  });
  ({ text, routes } = api.parse({ ...(await import(pathToFileURL(outfile).href)) }));
});

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1 and has every route of the table and nothing else', () => {
    const { openapi, paths } = openApi.parse(JSON.parse(text));
    expect(openapi).toMatch(/^3\.1\./);
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((method) => method !== 'parameters')
        .map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)\+?/g, '{$1}')}`);
    expect(documented.sort()).toEqual(served.sort());
  });

  it('says of each route whether it needs a key', () => {
    const { paths } = openApi.parse(JSON.parse(text));
    for (const { method, path, access } of routes) {
      const item = paths[path.replaceAll(/:(\w+)\+?/g, '{$1}')]?.[method.toLowerCase()];
      const isSigned = path === '/integrations/github/webhook';
      const expected = access === 'public' ? [] : isSigned ? [{ githubSignature: [] }] : undefined;
      expect(operation.parse(item).security, `${method} ${path}`).toEqual(expected);
    }
  });

  it('gives every operation an id of its own', () => {
    const { paths } = openApi.parse(JSON.parse(text));
    const ids = Object.values(paths).flatMap((methods) =>
      Object.entries(methods)
        .filter(([method]) => method !== 'parameters')
        .map(([, item]) => operation.parse(item).operationId),
    );
    expect(new Set(ids).size).toBe(routes.length);
  });

  // /health and /openapi.json have no 4XX response, and …/live has no 2XX.
  it("is clean under Redocly's recommended rules", async () => {
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source: text, config });
    expect(
      problems.map(({ severity, ruleId, message, location }) => [severity, ruleId, message, location[0]?.pointer]),
    ).toEqual([]);
  });

  // Four operations have no description, and …/live has no 2XX or 3XX response.
  it("is clean under Spectral's OpenAPI rules", async () => {
    const linter = new spectral.Spectral();
    // Its own packages disagree on optional members under exactOptionalPropertyTypes.
    linter.setRuleset({ extends: [z.custom<spectral.RulesetDefinition>().parse(rulesets.oas)] });
    const results = await linter.run(text);
    expect(results.map(({ code, message, path }) => [code, message, path.join('/')])).toEqual([]);
  });
});
