-- Why the read models have to be rebuilt from the logs: an older version wrote rows that lack what this one looks for.
-- The end of a rebuild empties it.
CREATE TABLE rebuild_wanted (reason TEXT PRIMARY KEY) WITHOUT ROWID;

-- Without their members contexts are found by nobody who is not an administrator.
INSERT INTO rebuild_wanted (reason)
SELECT 'contexts without members'
WHERE EXISTS (SELECT 1 FROM contexts WHERE json_type(body, '$.members') IS NULL);
