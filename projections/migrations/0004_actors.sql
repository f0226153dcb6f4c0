-- The actors as lists and search need them. Rebuilt from the logs at will: no source of truth.
CREATE TABLE actors (
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
) WITHOUT ROWID;

-- Newest first. Not on what changes: an entry that moves is a billed row.
CREATE INDEX actors_created ON actors (created_at);

CREATE UNIQUE INDEX actors_chitty_id ON actors (chitty_id) WHERE chitty_id IS NOT NULL;
