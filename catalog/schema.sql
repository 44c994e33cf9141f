-- The catalog of one lake: which results there are, and which data files hold them.
-- Equal to the migrations run in order (a test compares them). At least PostgreSQL 14.

CREATE TABLE lakestore_schema (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE lakestore_schema IS 'Versions of this schema that were applied here; the highest is the present one.';
COMMENT ON COLUMN lakestore_schema.version IS 'Number of the last migration that the step brought in.';
COMMENT ON COLUMN lakestore_schema.applied_at IS 'When the step was committed.';

CREATE TABLE lake (
    only_one       boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    lake_id        uuid        NOT NULL,
    format_version integer     NOT NULL,
    partition      text        NOT NULL CHECK (partition IN ('day', 'month', 'year')),
    numbers        text        NOT NULL CHECK (numbers IN ('decimal', 'double')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    schema_counter bigint      NOT NULL DEFAULT 0,
    next_field_id  integer     NOT NULL DEFAULT 16,
    state          text        NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'rebuilding'))
);
COMMENT ON TABLE lake IS 'The lake this database belongs to: exactly one row.';
COMMENT ON COLUMN lake.only_one IS 'Always true: keeps the table to one row.';
COMMENT ON COLUMN lake.lake_id IS 'Id that stands in the lake''s own directory too; they must agree.';
COMMENT ON COLUMN lake.format_version IS 'Version of what is written on disk.';
COMMENT ON COLUMN lake.partition IS 'How coarse run_date is: day, month or year.';
COMMENT ON COLUMN lake.numbers IS 'How decimal numbers are stored in data files: decimal or double.';
COMMENT ON COLUMN lake.created_at IS 'When the catalog was made.';
COMMENT ON COLUMN lake.schema_counter IS 'Grows with each change of a lake table or column, so that readers can keep them, and with the lake''s stamp: a lower one is an older copy''s.';
COMMENT ON COLUMN lake.next_field_id IS 'Field id that the next new column gets; ids are never used again.';
COMMENT ON COLUMN lake.state IS 'ready, or rebuilding: it is being made anew from the files, and nobody else may use it.';

CREATE TABLE lake_tables (
    name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_]{0,63}$' AND name <> 'results'),
    key  text COLLATE "C" NOT NULL
);
-- Keys have no limit of length and an index entry has: two 64-bit hashes stand for the key.
CREATE UNIQUE INDEX lake_tables_key ON lake_tables (hashtextextended(key, 0), hashtextextended(key, 1));
COMMENT ON TABLE lake_tables IS 'Tables of records; the lake''s own table results is not among them.';
COMMENT ON COLUMN lake_tables.name IS 'Name in SQL and on disk.';
COMMENT ON COLUMN lake_tables.key IS 'Key in the documents that the table stands for, as JSON text.';

CREATE TABLE lake_columns (
    field_id   integer PRIMARY KEY CHECK (field_id >= 16),
    table_name text COLLATE "C" NOT NULL REFERENCES lake_tables (name),
    parent     integer REFERENCES lake_columns (field_id),
    key        text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    type       text    NOT NULL,
    wide       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX lake_columns_key ON lake_columns
    (table_name, coalesce(parent, 0), hashtextextended(key, 0), hashtextextended(key, 1));
CREATE UNIQUE INDEX lake_columns_name ON lake_columns
    (table_name, coalesce(parent, 0), hashtextextended(lower(name), 0), hashtextextended(lower(name), 1));
COMMENT ON TABLE lake_columns IS 'Columns of the lake tables and the members of nested ones.';
COMMENT ON COLUMN lake_columns.field_id IS 'Id that stands in every data file; unique in the whole lake.';
COMMENT ON COLUMN lake_columns.table_name IS 'Lake table it belongs to.';
COMMENT ON COLUMN lake_columns.parent IS 'Field id of the STRUCT or LIST it lies in; null: a column of the table itself.';
COMMENT ON COLUMN lake_columns.key IS 'Key in the records as JSON text; [] for an element, #json at the end for a sibling column.';
COMMENT ON COLUMN lake_columns.name IS 'Name in SQL, unique in its parent without regard to case.';
COMMENT ON COLUMN lake_columns.type IS 'Type in SQL; NULL: no value of it was ever seen.';
COMMENT ON COLUMN lake_columns.wide IS 'Integers beyond 2^53 were stored: it can no longer become DOUBLE.';

CREATE TABLE backtest_results (
    task_id        text COLLATE "C" PRIMARY KEY,
    strategy       text COLLATE "C" NOT NULL,
    strategies     text[] COLLATE "C",
    status         text COLLATE "C" NOT NULL,
    created_at     timestamptz NOT NULL,
    file_size      bigint      NOT NULL,
    json_size      bigint      NOT NULL,
    run_date       date        NOT NULL,
    sha256         bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    profile        text        NOT NULL,
    fidelity       text        NOT NULL,
    fidelity_bytes bigint      NOT NULL,
    write_id       uuid        NOT NULL,
    replaces       uuid,
    saved_at       timestamptz NOT NULL,
    tables         json        NOT NULL,
    params         jsonb,
    metrics        jsonb,
    stats          bytea,
    CONSTRAINT backtest_results_write_id UNIQUE (write_id)
);
CREATE INDEX idx_backtest_results_created_at ON backtest_results (created_at DESC, task_id);
CREATE INDEX backtest_results_strategy ON backtest_results (strategy, created_at DESC, task_id);
-- A status has no limit of length and an index entry has.
CREATE INDEX backtest_results_status ON backtest_results (left(status, 64), created_at DESC, task_id);
CREATE INDEX backtest_results_strategies ON backtest_results USING gin (strategies) WHERE cardinality(strategies) > 1;
CREATE INDEX backtest_results_params ON backtest_results USING gin (params jsonb_path_ops);
CREATE INDEX backtest_results_metrics ON backtest_results USING gin (metrics jsonb_path_ops);
COMMENT ON TABLE backtest_results IS 'The live results; what was deleted or replaced is in deleted_results.';
COMMENT ON COLUMN backtest_results.task_id IS 'Identity of the result.';
COMMENT ON COLUMN backtest_results.strategy IS 'Its strategy; the first one of several.';
COMMENT ON COLUMN backtest_results.strategies IS 'All strategies of the document, where there are several; null: the one.';
COMMENT ON COLUMN backtest_results.status IS 'Status the engine gave it.';
COMMENT ON COLUMN backtest_results.created_at IS 'When the run was made.';
COMMENT ON COLUMN backtest_results.file_size IS 'Bytes it takes in the lake.';
COMMENT ON COLUMN backtest_results.json_size IS 'Bytes of its JSON text.';
COMMENT ON COLUMN backtest_results.run_date IS 'Partition: UTC date of created_at, or the first day of its month or year.';
COMMENT ON COLUMN backtest_results.sha256 IS 'SHA-256 of its JSON text.';
COMMENT ON COLUMN backtest_results.profile IS 'Profile that read the document.';
COMMENT ON COLUMN backtest_results.fidelity IS 'How the text is kept exact: style, patched or original.';
COMMENT ON COLUMN backtest_results.fidelity_bytes IS 'Bytes that the patch or the original takes.';
COMMENT ON COLUMN backtest_results.write_id IS 'Id of this version of the result.';
COMMENT ON COLUMN backtest_results.replaces IS 'write_id of the version that it replaced.';
COMMENT ON COLUMN backtest_results.saved_at IS 'When it was saved.';
COMMENT ON COLUMN backtest_results.tables IS 'Rows per lake table.';
COMMENT ON COLUMN backtest_results.params IS 'Searchable copy of the parameters; the lake holds them exactly.';
COMMENT ON COLUMN backtest_results.metrics IS 'Searchable copy of the metrics; the lake holds them exactly.';
COMMENT ON COLUMN backtest_results.stats IS 'Rows, then nulls, least, greatest and sum of each column of numbers; see lakestore/codec/statistics/.';

CREATE TABLE files (
    file_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       uuid,
    path       text COLLATE "C",
    table_name text COLLATE "C" NOT NULL,
    strategy   text COLLATE "C" NOT NULL,
    run_date   date        NOT NULL,
    rows       integer     NOT NULL CHECK (rows >= 0),
    bytes      bigint      NOT NULL CHECK (bytes >= 0),
    sha256     bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    added_at   timestamptz,
    let_go_at  timestamptz,
    is_whole   boolean     NOT NULL DEFAULT false CHECK (name IS NOT NULL OR NOT is_whole),
    CONSTRAINT files_named CHECK ((name IS NULL) <> (path IS NULL)),
    CONSTRAINT files_name UNIQUE (name, table_name, strategy, run_date),
    CONSTRAINT files_path UNIQUE (path)
);
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
COMMENT ON COLUMN files.added_at IS 'When its commit began, where the name does not tell when it was made (UUIDv7).';
COMMENT ON COLUMN files.let_go_at IS 'Since when no live result needs it; null: it is alive.';
COMMENT ON COLUMN files.is_whole IS 'All of its rows are of the version of a result whose id it is named by.';

CREATE TABLE shared_rows (
    write_id  uuid   NOT NULL,
    file_id   bigint NOT NULL REFERENCES files (file_id),
    first_row bigint NOT NULL CHECK (first_row >= 0),
    rows      bigint NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (write_id, file_id, first_row)
);
CREATE INDEX shared_rows_file ON shared_rows (file_id, write_id);
COMMENT ON TABLE shared_rows IS 'Which rows of which file belong to which version of a result, of files that are not whole; kept until vacuum.';
COMMENT ON COLUMN shared_rows.write_id IS 'Version of the result, live or let go.';
COMMENT ON COLUMN shared_rows.file_id IS 'File that holds the rows.';
COMMENT ON COLUMN shared_rows.first_row IS 'Place of the first row in the file, from 0.';
COMMENT ON COLUMN shared_rows.rows IS 'Number of rows.';

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

CREATE TABLE dead_rows (
    file_id bigint NOT NULL REFERENCES files (file_id),
    task_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (file_id, task_id)
);
COMMENT ON TABLE dead_rows IS 'Rows that are no longer live in a file that others still need; views leave them out.';
COMMENT ON COLUMN dead_rows.file_id IS 'File that holds the rows.';
COMMENT ON COLUMN dead_rows.task_id IS 'Result whose rows in it are dead.';

CREATE TABLE deleted_results (
    write_id  uuid PRIMARY KEY,
    task_id   text COLLATE "C" NOT NULL,
    let_go_at timestamptz NOT NULL,
    reason    text        NOT NULL CHECK (reason IN ('deleted', 'replaced')),
    row       jsonb       NOT NULL
);
CREATE INDEX deleted_results_task ON deleted_results (task_id, let_go_at DESC);
CREATE INDEX deleted_results_let_go ON deleted_results (let_go_at);
COMMENT ON TABLE deleted_results IS 'Versions of results that were deleted or replaced; kept until vacuum.';
COMMENT ON COLUMN deleted_results.write_id IS 'The version.';
COMMENT ON COLUMN deleted_results.task_id IS 'Result it was a version of.';
COMMENT ON COLUMN deleted_results.let_go_at IS 'When it was let go.';
COMMENT ON COLUMN deleted_results.reason IS 'deleted or replaced.';
COMMENT ON COLUMN deleted_results.row IS 'Its row of backtest_results.';

CREATE TABLE migrated_files (
    file_key      uuid PRIMARY KEY,
    path          text COLLATE "C" NOT NULL,
    claimant      bigint,
    claimed_until timestamptz,
    outcome       text CHECK (outcome IN ('done', 'failed')),
    reason        text,
    size          bigint,
    mtime_ns      bigint,
    ctime_ns      bigint,
    sha256        bytea CHECK (octet_length(sha256) = 32),
    results       jsonb NOT NULL DEFAULT '{}',
    finished_at   timestamptz
);
CREATE INDEX migrated_files_claimant ON migrated_files (claimant) WHERE claimant IS NOT NULL;
COMMENT ON TABLE migrated_files IS 'The ledger of migrate: files that were brought in, that failed, or that somebody is at.';
COMMENT ON COLUMN migrated_files.file_key IS 'The first 16 bytes of the SHA-256 of the path''s bytes.';
COMMENT ON COLUMN migrated_files.path IS 'Absolute path of the file; bytes that are no UTF-8 as \xNN.';
COMMENT ON COLUMN migrated_files.claimant IS 'Run that is at it; while it lives it holds the advisory lock of this number.';
COMMENT ON COLUMN migrated_files.claimed_until IS 'When the claim ends, unless it is renewed.';
COMMENT ON COLUMN migrated_files.outcome IS 'done or failed; null: never finished.';
COMMENT ON COLUMN migrated_files.reason IS 'Why it failed.';
COMMENT ON COLUMN migrated_files.size IS 'Bytes of the file when it was read.';
COMMENT ON COLUMN migrated_files.mtime_ns IS 'Its time of change of content then, nanoseconds since 1970.';
COMMENT ON COLUMN migrated_files.ctime_ns IS 'Its time of change of any kind then; null: too recent to tell a later change by.';
COMMENT ON COLUMN migrated_files.sha256 IS 'SHA-256 of the file as it was read.';
COMMENT ON COLUMN migrated_files.results IS 'Results that it holds: task_id to the SHA-256 of the JSON text.';
COMMENT ON COLUMN migrated_files.finished_at IS 'When it was done or failed; also tells two endings apart.';

CREATE TABLE run_stats (
    write_id   uuid  NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    by_symbol  bytea NOT NULL,
    PRIMARY KEY (write_id, table_name)
);
COMMENT ON TABLE run_stats IS 'Statistics by symbol of the numbers of results, where they are kept; until vacuum.';
COMMENT ON COLUMN run_stats.write_id IS 'Version of the result, live or let go.';
COMMENT ON COLUMN run_stats.table_name IS 'Lake table.';
COMMENT ON COLUMN run_stats.by_symbol IS 'Nulls, least, greatest and sum of each column and symbol; see lakestore/codec/statistics/.';
