-- The invitations that wait for an answer, for the list of those who are invited: the contexts know of each their own.
CREATE TABLE invitations (
  context TEXT NOT NULL,
  id TEXT NOT NULL,
  -- Who is invited.
  actor TEXT NOT NULL,
  sent_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (context, id)
) WITHOUT ROWID;

CREATE INDEX invitations_actor ON invitations (actor, sent_at, id);
