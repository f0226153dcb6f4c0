-- One row per event of a context, in the order in which they came here. What the events are stands in the logs. Rebuilt
-- from those at will: no source of truth. Positions are never given twice, also not after a rebuild, so that whoever reads
-- on from an old one gets everything again and misses nothing.
CREATE TABLE feed (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  context TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  time TEXT NOT NULL,
  actor TEXT NOT NULL,
  -- Delivery is at least once.
  UNIQUE (context, version)
);

-- What happened before is in the logs only.
INSERT OR IGNORE INTO rebuild_wanted (reason)
SELECT 'events that are not in the feed'
WHERE EXISTS (SELECT 1 FROM contexts);
