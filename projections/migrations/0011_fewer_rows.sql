-- Rows are billed, so what comes together is one row: in the audit trail the changes that are alike within a minute, in
-- the feed the events of a context that arrive together.

-- Of entries that are several events: the version and the time of the last, and how many they are. Null where it is one.
-- None of these is in an index: an entry that grows is one billed row.
ALTER TABLE audit ADD COLUMN last_version INTEGER;
ALTER TABLE audit ADD COLUMN last_time TEXT;
ALTER TABLE audit ADD COLUMN occurrences INTEGER;

-- How far a context's events are in the feed. What is written once stands there once, and needs no index that says so.
ALTER TABLE contexts ADD COLUMN fed INTEGER NOT NULL DEFAULT 0;
UPDATE contexts
SET fed = coalesce((SELECT max(version) FROM feed WHERE feed.context = contexts.id), version);

-- A row is the events of one context that arrived together, and takes as many positions, up to the one that it is found
-- by. Positions are never given twice: the last row stays for that, whatever else is removed.
CREATE TABLE feed_of_batches (
  position INTEGER PRIMARY KEY,
  -- Empty in a row that only keeps the last position.
  context TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  -- What is in them, so that one who looks for something else need not read them: JSON arrays, and the times of the first
  -- and the last.
  types TEXT NOT NULL,
  actors TEXT NOT NULL,
  since TEXT NOT NULL,
  until TEXT NOT NULL
);

INSERT INTO feed_of_batches (position, context, first, last, types, actors, since, until)
SELECT position, context, version, version, json_array(type), json_array(actor), time, time FROM feed;

-- Where there were rows that are gone: the position that was given last.
INSERT OR IGNORE INTO feed_of_batches (position, context, first, last, types, actors, since, until)
SELECT seq, '', 1, 0, '[]', '[]', '', '' FROM sqlite_sequence WHERE name = 'feed';

DROP TABLE feed;
ALTER TABLE feed_of_batches RENAME TO feed;

INSERT OR IGNORE INTO rebuild_wanted (reason)
SELECT 'audit entries that could be fewer'
WHERE EXISTS (SELECT 1 FROM audit);
