-- What tells the positions of the feed from those of another server, or of a database that was lost: part of every offset of
-- the feed. One row, for as long as the positions live: rebuilds leave it as it is.
CREATE TABLE feed_identity (id TEXT NOT NULL);
INSERT INTO feed_identity (id) VALUES (lower(hex(randomblob(16))));
