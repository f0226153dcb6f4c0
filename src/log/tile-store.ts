import type { TileStore } from '../../actors/transparency-log-object.ts';

/**
 * Publishes tiles in a bucket under their C2SP tlog-tiles paths, so that the bucket can be served as it is.
 */
export function tileStore(bucket: R2Bucket): TileStore {
  return {
    async put(path, bytes) {
      await bucket.put(path, bytes, {
        httpMetadata: { contentType: 'application/octet-stream', cacheControl: 'public, max-age=31536000, immutable' },
      });
    },
    async removePartials(path) {
      // There are fewer than 256 of a tile, and a list has up to 1000.
      const { objects } = await bucket.list({ prefix: `${path}.p/` });
      if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key));
    },
  };
}
