-- A catalog can be made anew from the files of its lake; until that is done nobody else may use it.

ALTER TABLE lake ADD COLUMN state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'rebuilding'));
COMMENT ON COLUMN lake.state IS 'ready, or rebuilding: it is being made anew from the files, and nobody else may use it.';
