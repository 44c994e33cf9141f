-- The counter of changes tells an older copy of the catalog from the present one, too.

COMMENT ON COLUMN lake.schema_counter IS 'Grows with each change of a lake table or column, so that readers can keep them, and with the lake''s stamp: a lower one is an older copy''s.';
