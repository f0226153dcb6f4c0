-- Which context a ChittyID belongs to: both ids address it.
CREATE TABLE chitty_ids (
  chitty_id TEXT PRIMARY KEY,
  id TEXT NOT NULL
) WITHOUT ROWID;

-- The dead letters as the administrators' list needs them; each is a stream of its own.
CREATE TABLE dead_letters (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  status TEXT NOT NULL,
  received_at TEXT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX dead_letters_received ON dead_letters (received_at);
