import type { D1Database } from '@cloudflare/workers-types';
import type { Connection } from '../actors/connection.ts';
import type { Onlooker } from './connections.ts';
import { rowConditions } from './context-filters.ts';
import { Values } from './values.ts';

/** How much one graph shows and looks at. */
export interface GraphBounds {
  readonly nodes: number;
  readonly edges: number;
  /** Connections that are looked at for one step away from the middle: most may lead to what must not be shown. */
  readonly looked: number;
}

/** The bounds that callers get. */
export const GRAPH_BOUNDS: GraphBounds = { nodes: 500, edges: 2_000, looked: 20_000 };

/** A context in a graph, and how many connections it is away from the middle. */
interface GraphNode {
  readonly id: string;
  readonly name: string;
  readonly depth: number;
}

/** A connection in a graph. */
type GraphEdge = Pick<Connection, 'id' | 'from' | 'to' | 'type' | 'direction' | 'status'>;

/** What is around a context. */
export interface ContextGraph {
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  /** Whether there is more within this depth than is shown. */
  readonly truncated: boolean;
}

/** Connections that are part of graphs. */
const IS_LIVING = "k.status IN ('active', 'idle')";

/**
 * The contexts around one that somebody may read, up to `depth` connections away whichever way these lead, and all
 * connections between them. What may not be read is not passed through either. One statement for each step and one more.
 */
export async function contextGraph(
  db: D1Database,
  root: { readonly id: string; readonly name: string },
  depth: number,
  onlooker: Onlooker,
  bounds: GraphBounds = GRAPH_BOUNDS,
): Promise<ContextGraph> {
  const nodes: GraphNode[] = [{ ...root, depth: 0 }];
  let frontier = [root.id];
  let isTruncated = false;
  for (let step = 1; step <= depth && frontier.length > 0; step++) {
    const room = bounds.nodes - nodes.length;
    const known = nodes.map(({ id }) => id);
    const { found, looked } = await neighbours(db, frontier, known, onlooker, room + 1, bounds.looked + 1);
    isTruncated ||= found.length > room || looked > bounds.looked;
    const next = found.slice(0, room).map((node) => ({ ...node, depth: step }));
    nodes.push(...next);
    frontier = next.map(({ id }) => id);
  }
  const { edges, looked } = await edgesBetween(db, nodes, bounds.edges + 1, bounds.looked + 1);
  isTruncated ||= edges.length > bounds.edges || looked > bounds.looked;
  return { nodes, edges: edges.slice(0, bounds.edges), truncated: isTruncated };
}

interface Neighbours {
  /** In the order of their ids. */
  readonly found: readonly { readonly id: string; readonly name: string }[];
  /** How many connections were looked at. */
  readonly looked: number;
}

/** The contexts one step away from the frontier that are not known yet and may be shown. */
async function neighbours(
  db: D1Database,
  frontier: readonly string[],
  known: readonly string[],
  onlooker: Onlooker,
  limit: number,
  lookedMax: number,
): Promise<Neighbours> {
  const values = new Values();
  const from = values.add(JSON.stringify(frontier));
  const isKnown = `c.id IN (SELECT value FROM json_each(${values.add(JSON.stringify(known))}))`;
  const isShown = rowConditions({ ...onlooker, filters: { status: 'active' } }, values).join(' AND ');
  const step = (here: string, there: string) =>
    `SELECT k.${there} AS id FROM json_each(${from}) f CROSS JOIN connections k ON k.${here} = f.value WHERE ${IS_LIVING}`;
  const { results } = await db
    .prepare(
      `WITH looked AS MATERIALIZED (
         SELECT id FROM (${step('from_id', 'to_id')} UNION ALL ${step('to_id', 'from_id')})
         LIMIT ${values.integer(lookedMax)})
       SELECT NULL AS id, NULL AS name, count(*) AS looked FROM looked
       UNION ALL
       SELECT * FROM (
         SELECT c.id, c.body ->> 'name', NULL FROM (SELECT DISTINCT id FROM looked) l
         CROSS JOIN contexts c ON c.id = l.id
         WHERE NOT ${isKnown} AND ${isShown} ORDER BY c.id LIMIT ${values.integer(limit)})`,
    )
    .bind(...values.list)
    .all<{ id: string | null; name: string | null; looked: number | null }>();
  return {
    found: results.flatMap(({ id, name }) => (id === null ? [] : [{ id, name: name ?? '' }])),
    looked: results.find(({ id }) => id === null)?.looked ?? 0,
  };
}

/** The connections both of whose ends are shown, in the order of their ids. */
async function edgesBetween(
  db: D1Database,
  nodes: readonly GraphNode[],
  limit: number,
  lookedMax: number,
): Promise<{ readonly edges: readonly GraphEdge[]; readonly looked: number }> {
  const { results } = await db
    .prepare(
      `WITH shown AS MATERIALIZED (SELECT value AS id FROM json_each(?1)),
       looked AS MATERIALIZED (
         SELECT k.id, k.to_id FROM shown s CROSS JOIN connections k ON k.from_id = s.id WHERE ${IS_LIVING} LIMIT ?3)
       SELECT NULL AS body, count(*) AS looked FROM looked
       UNION ALL
       SELECT * FROM (
         SELECT k.body, NULL FROM looked l CROSS JOIN connections k ON k.id = l.id
         WHERE l.to_id IN (SELECT id FROM shown) ORDER BY k.id LIMIT ?2)`,
    )
    .bind(JSON.stringify(nodes.map(({ id }) => id)), limit, lookedMax)
    .all<{ body: string | null; looked: number | null }>();
  const edges = results.flatMap(({ body }) => {
    if (body === null) return [];
    const { id, from, to, type, direction, status }: Connection = JSON.parse(body);
    return [{ id, from, to, type, direction, status }];
  });
  return { edges, looked: results.find(({ body }) => body === null)?.looked ?? 0 };
}
