-- The dictionary of words also tells what is in no context at all. For that it has to have the owners, and the words
-- between those of scripts without spaces.
INSERT OR IGNORE INTO rebuild_wanted (reason)
SELECT 'words that are not in the dictionary'
WHERE EXISTS (SELECT 1 FROM contexts);
