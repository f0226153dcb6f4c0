-- Webhooks as lists need them, without their secrets. Rebuilt from the logs at will: no source of truth.
CREATE TABLE webhooks (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  owner TEXT NOT NULL,
  status TEXT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;

-- Newest first: ids are in the order of creation.
CREATE INDEX webhooks_owner ON webhooks (owner, id);
