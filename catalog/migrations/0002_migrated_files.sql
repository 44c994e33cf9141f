-- The ledger of migrate: which files were brought in, and who is at which.

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
