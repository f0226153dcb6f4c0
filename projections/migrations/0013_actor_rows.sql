-- What an actor's row says of them has to be gone when they are erased, from the file too. SQLite overwrites a row where
-- it stands when its size stays the same, but only in a table with rowids (projections/actors.ts).
CREATE TABLE actors_with_rowid (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  chitty_id TEXT,
  created_at TEXT NOT NULL,
  -- The folded name, in which a query is looked for.
  name TEXT NOT NULL,
  -- All of the actor but the credentials, as REST gives it to administrators.
  body TEXT NOT NULL
);

INSERT INTO actors_with_rowid (id, version, kind, status, chitty_id, created_at, name, body)
SELECT id, version, kind, status, chitty_id, created_at, name, body FROM actors;

DROP TABLE actors;
ALTER TABLE actors_with_rowid RENAME TO actors;

-- Newest first. Not on what changes: an entry that moves is a billed row.
CREATE INDEX actors_created ON actors (created_at);

CREATE UNIQUE INDEX actors_chitty_id ON actors (chitty_id) WHERE chitty_id IS NOT NULL;
