-- The contexts as lists and search need them. Rebuilt from the logs at will: no source of truth.
CREATE TABLE contexts (
  rowid INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE
);
