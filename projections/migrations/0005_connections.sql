-- The connections between contexts as lists and graphs need them. Rebuilt from the logs at will: no source of truth.
CREATE TABLE connections (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  -- The contexts at the ends; the lesser id first where there is no direction.
  from_id TEXT NOT NULL,
  to_id TEXT NOT NULL,
  type TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at TEXT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;

-- Newest first. None of the indexes is on what changes: an entry that moves is a billed row.
CREATE INDEX connections_created ON connections (created_at);
CREATE INDEX connections_from ON connections (from_id);
CREATE INDEX connections_to ON connections (to_id);
