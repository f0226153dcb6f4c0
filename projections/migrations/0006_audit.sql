-- Who did what, for those who look for it: one row per event of every stream. Rebuilt from the logs at will: no source of
-- truth. Every index is a billed row per event, so there is one only for what has to be found among millions.
CREATE TABLE audit (
  -- The event's id, a ULID: in the order of time.
  id TEXT PRIMARY KEY,
  time TEXT NOT NULL,
  actor TEXT NOT NULL,
  -- Whose rights were used, when they were not the actor's own.
  subject TEXT,
  credential TEXT,
  -- What it was about.
  stream TEXT,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,
  origin TEXT,
  command_id TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  detail TEXT NOT NULL
) WITHOUT ROWID;

-- What the service does by itself is a good part of all events, and nobody looks for it by its actor.
CREATE INDEX audit_actor ON audit (actor, id) WHERE actor <> 'act_system';
CREATE INDEX audit_subject ON audit (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX audit_stream ON audit (stream, id) WHERE stream IS NOT NULL;
CREATE INDEX audit_refused ON audit (outcome, id) WHERE outcome = 'refused';
