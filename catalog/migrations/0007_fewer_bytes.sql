-- Fewer bytes a result: paths, spans and strategies that follow from something else.

-- A catalog under rebuild is guarded against everybody else.
SELECT set_config('lakestore.rebuild', 'on', true);

CREATE TABLE files (
    file_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       uuid,
    path       text COLLATE "C",
    table_name text COLLATE "C" NOT NULL,
    strategy   text COLLATE "C" NOT NULL,
    run_date   date        NOT NULL,
    rows       bigint      NOT NULL CHECK (rows >= 0),
    bytes      bigint      NOT NULL CHECK (bytes >= 0),
    sha256     bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    added_at   timestamptz NOT NULL DEFAULT now(),
    let_go_at  timestamptz,
    is_whole   boolean     NOT NULL DEFAULT false CHECK (name IS NOT NULL OR NOT is_whole),
    CONSTRAINT files_named CHECK ((name IS NULL) <> (path IS NULL)),
    CONSTRAINT files_name UNIQUE (name, table_name, strategy, run_date),
    CONSTRAINT files_path UNIQUE (path)
);
INSERT INTO files (file_id, name, path, table_name, strategy, run_date, rows, bytes, sha256, added_at, let_go_at, is_whole)
OVERRIDING SYSTEM VALUE
SELECT f.file_id, p.name, CASE WHEN p.name IS NULL THEN f.path END, f.table_name, f.strategy, f.run_date, f.rows,
       f.bytes, f.sha256, f.added_at, f.let_go_at,
       EXISTS (SELECT FROM result_files s
               WHERE s.file_id = f.file_id AND s.write_id = p.name AND s.first_row = 0 AND s.rows = f.rows)
       AND (SELECT count(*) FROM result_files s WHERE s.file_id = f.file_id) = 1
FROM data_files f, LATERAL (
    SELECT substring(f.path, '/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.parquet$') AS name
) AS n, LATERAL (
    SELECT CASE WHEN f.path = f.table_name || '/strategy=' || f.strategy || '/run_date='
                || to_char(f.run_date, 'YYYY-MM-DD') || '/' || n.name || '.parquet' THEN n.name::uuid END AS name
) AS p;
SELECT setval(pg_get_serial_sequence('files', 'file_id'), coalesce(max(file_id), 0) + 1, false) FROM files;
CREATE INDEX files_live ON files (table_name, strategy, run_date) WHERE let_go_at IS NULL;
CREATE INDEX files_let_go ON files (let_go_at) WHERE let_go_at IS NOT NULL;
COMMENT ON TABLE files IS 'Immutable Parquet files: the live ones, and those let go that vacuum has not deleted yet.';
COMMENT ON COLUMN files.file_id IS 'Number of the file in this catalog.';
COMMENT ON COLUMN files.name IS 'UUID that it is named by, where its path follows from that, table, strategy and date.';
COMMENT ON COLUMN files.path IS 'Path below the lake, percent-encoded as on disk, where it does not follow.';
COMMENT ON COLUMN files.table_name IS 'Lake table whose rows it holds, or results.';
COMMENT ON COLUMN files.strategy IS 'Partition: strategy, not encoded.';
COMMENT ON COLUMN files.run_date IS 'Partition: date.';
COMMENT ON COLUMN files.rows IS 'Rows in the file, dead ones included.';
COMMENT ON COLUMN files.bytes IS 'Size of the file.';
COMMENT ON COLUMN files.sha256 IS 'SHA-256 of the file''s bytes.';
COMMENT ON COLUMN files.added_at IS 'When its commit began.';
COMMENT ON COLUMN files.let_go_at IS 'Since when no live result needs it; null: it is alive.';
COMMENT ON COLUMN files.is_whole IS 'All of its rows are of the version of a result whose id it is named by.';

CREATE TABLE shared_rows (
    write_id  uuid   NOT NULL,
    file_id   bigint NOT NULL REFERENCES files (file_id),
    first_row bigint NOT NULL CHECK (first_row >= 0),
    rows      bigint NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (write_id, file_id, first_row)
);
INSERT INTO shared_rows (write_id, file_id, first_row, rows)
SELECT s.write_id, s.file_id, s.first_row, s.rows FROM result_files s JOIN files f USING (file_id) WHERE NOT f.is_whole;
CREATE INDEX shared_rows_file ON shared_rows (file_id, write_id);
COMMENT ON TABLE shared_rows IS 'Which rows of which file belong to which version of a result, of files that are not whole; kept until vacuum.';
COMMENT ON COLUMN shared_rows.write_id IS 'Version of the result, live or let go.';
COMMENT ON COLUMN shared_rows.file_id IS 'File that holds the rows.';
COMMENT ON COLUMN shared_rows.first_row IS 'Place of the first row in the file, from 0.';
COMMENT ON COLUMN shared_rows.rows IS 'Number of rows.';

ALTER TABLE dead_rows DROP CONSTRAINT dead_rows_file_id_fkey;
ALTER TABLE dead_rows ADD CONSTRAINT dead_rows_file_id_fkey FOREIGN KEY (file_id) REFERENCES files (file_id);
DROP TABLE result_files, data_files;

CREATE VIEW data_files AS
SELECT file_id,
       coalesce(path, table_name || '/strategy=' || strategy || '/run_date=' || to_char(run_date, 'YYYY-MM-DD') || '/'
           || name || '.parquet') AS path,
       table_name, strategy, run_date, rows, bytes, sha256, added_at, let_go_at
FROM files;
COMMENT ON VIEW data_files IS 'The files with their paths.';

CREATE VIEW result_files AS
SELECT write_id, file_id, first_row, rows FROM shared_rows
UNION ALL SELECT name, file_id, 0::bigint, rows FROM files WHERE is_whole;
COMMENT ON VIEW result_files IS 'Which rows of which file belong to which version of a result.';

ALTER TABLE backtest_results ALTER COLUMN strategies DROP NOT NULL, ALTER COLUMN tables TYPE json USING tables::json;
UPDATE backtest_results SET strategies = NULL WHERE strategies = ARRAY[strategy];
COMMENT ON COLUMN backtest_results.strategies IS 'All strategies of the document, where there are several; null: the one.';

-- A rebuild that was stopped goes on: the new table is guarded as the old one was.
DO $$
BEGIN
    IF to_regproc('lakestore_guard') IS NOT NULL THEN
        CREATE TRIGGER lakestore_guard BEFORE INSERT OR UPDATE OR DELETE ON files EXECUTE FUNCTION lakestore_guard();
    END IF;
END
$$;
