-- Statistics of whole tables become one value in the row of their result; by symbol they stay where they are. When a file
-- was added follows from the id that it is named by, and rows take an integer of 4 bytes.

-- A catalog under rebuild is guarded against everybody else.
SELECT set_config('lakestore.rebuild', 'on', true);

ALTER TABLE backtest_results ADD COLUMN stats bytea;
COMMENT ON COLUMN backtest_results.stats IS 'Rows, then nulls, least, greatest and sum of each column of numbers; see lakestore/codec/statistics/.';

-- As earlier lakestores packed them; see lakestore/codec/statistics/packing_older.py.
UPDATE backtest_results r SET stats = s.packed
FROM (
    SELECT write_id, '\x00'::bytea || string_agg(
        int4send(octet_length(packed)) || substring(coalesce(by_symbol, '\x00') FROM 1 FOR 1) || packed, ''::bytea
        ORDER BY table_name) AS packed
    FROM run_stats GROUP BY write_id
) AS s
WHERE s.write_id = r.write_id;

DELETE FROM run_stats WHERE by_symbol IS NULL;
ALTER TABLE run_stats DROP COLUMN packed, ALTER COLUMN by_symbol SET NOT NULL;
COMMENT ON TABLE run_stats IS 'Statistics by symbol of the numbers of results, where they are kept; until vacuum.';
COMMENT ON COLUMN run_stats.by_symbol IS 'Nulls, least, greatest and sum of each column and symbol; see lakestore/codec/statistics/.';

DROP VIEW result_files, data_files;
ALTER TABLE files ALTER COLUMN rows TYPE integer, ALTER COLUMN added_at DROP NOT NULL, ALTER COLUMN added_at DROP DEFAULT;
UPDATE files SET added_at = NULL WHERE substr(name::text, 15, 1) = '7';
COMMENT ON COLUMN files.added_at IS 'When its commit began, where the name does not tell when it was made (UUIDv7).';

CREATE VIEW data_files AS
SELECT file_id,
       coalesce(path, table_name || '/strategy=' || strategy || '/run_date=' || to_char(run_date, 'YYYY-MM-DD') || '/'
           || name || '.parquet') AS path,
       table_name, strategy, run_date, rows::bigint AS rows, bytes, sha256,
       coalesce(added_at, to_timestamp(
           ('x' || left(replace(name::text, '-', ''), 12))::bit(48)::bigint / 1000.0::double precision)) AS added_at,
       let_go_at
FROM files;
COMMENT ON VIEW data_files IS 'The files with their paths.';

CREATE VIEW result_files AS
SELECT write_id, file_id, first_row, rows FROM shared_rows
UNION ALL SELECT name, file_id, 0::bigint, rows::bigint FROM files WHERE is_whole;
COMMENT ON VIEW result_files IS 'Which rows of which file belong to which version of a result.';
