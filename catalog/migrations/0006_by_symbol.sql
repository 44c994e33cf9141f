-- Statistics per result and lake table by symbol, too.

ALTER TABLE run_stats ADD COLUMN by_symbol bytea;
COMMENT ON COLUMN run_stats.by_symbol IS 'The same by symbol, where it is kept; see lakestore/codec/statistics/.';
