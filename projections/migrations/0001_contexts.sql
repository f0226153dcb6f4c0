-- The contexts as lists and search need them. Rebuilt from the logs at will: no source of truth.

-- The rowid is made from createdAt (projections/contexts.ts), so that descending rowids are "newest first" in the table
-- and in the index alike, at no price: there is no index on the time.
CREATE TABLE contexts (
  rowid INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  status TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  -- Hours since 1970 of updated_at. The index below is on this, because an entry that moves at every change is a billed
  -- row at every change; this one moves once an hour at most.
  updated_hour INTEGER NOT NULL,
  -- What contexts_fts holds of this row, as a hash: equal hashes need no rewriting there.
  terms TEXT NOT NULL,
  -- The folded text that a query is checked against; its first line is the name.
  search TEXT NOT NULL,
  -- The context as REST gives it.
  body TEXT NOT NULL
);

CREATE INDEX contexts_updated ON contexts (updated_hour);

-- Every way in which a context can be found, as tokens that projections/terms.ts makes: fragments, words, filters.
-- No positions are kept (detail=none): a candidate is checked against contexts.search.
CREATE VIRTUAL TABLE contexts_fts USING fts5 (
  terms,
  tokenize = 'ascii',
  content = '',
  contentless_delete = 1,
  detail = none
);

-- The words that are or were in use, for finding those that a mistyped one may have meant. A dictionary, not a copy of
-- anything: a word that nobody uses any more stays until the next rebuild and leads to nothing.
CREATE TABLE context_words (
  word TEXT PRIMARY KEY,
  reversed TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX context_words_reversed ON context_words (reversed);
