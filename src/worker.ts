import type { Env } from './env.ts';
import { handleRequest } from './http/router.ts';

export { ContextObject } from './objects.ts';

export default {
  fetch: handleRequest,
} satisfies ExportedHandler<Env>;
