-- The installations of the GitHub App as the administrators' list needs them; each is a stream of its own.
CREATE TABLE installations (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  status TEXT NOT NULL,
  -- The account's login in lower case: GitHub's logins differ by more than that.
  account TEXT NOT NULL,
  created_at TEXT NOT NULL,
  body TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX installations_created ON installations (created_at);
