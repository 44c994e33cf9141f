-- Statistics per result and lake table.

CREATE TABLE run_stats (
    write_id   uuid  NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    packed     bytea NOT NULL,
    PRIMARY KEY (write_id, table_name)
);
COMMENT ON TABLE run_stats IS 'Statistics of the numbers of each result; kept until vacuum.';
COMMENT ON COLUMN run_stats.write_id IS 'Version of the result, live or let go.';
COMMENT ON COLUMN run_stats.table_name IS 'Lake table.';
COMMENT ON COLUMN run_stats.packed IS 'Number of rows, then nulls, least, greatest and sum of each column; see lakestore/codec/statistics/.';
