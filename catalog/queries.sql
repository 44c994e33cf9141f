-- Statements by name. `-- name: x` begins one, the comment lines after it say what it is for;
-- `{x}` inside a statement stands for the text of x.
-- Order of locks, everywhere: results by task_id, then data files by file_id.


-- name: session
-- Times come as UTC, and a snapshot of many results is not worth compiling. Which session answers tells of a pooler.
-- What a server or role may be set to for older programs would change what statements and arrays mean.
SET TimeZone TO 'UTC'; SET DateStyle TO 'ISO'; SET jit TO off; SET default_transaction_isolation TO 'read committed';
SET standard_conforming_strings TO on; SET array_nulls TO on; SET transform_null_equals TO off;
SELECT pg_backend_pid()

-- name: begin
BEGIN

-- name: begin_snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: commit
COMMIT

-- name: durable
-- A server told not to wait for its log is told otherwise for this transaction; stronger settings stay.
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'

-- name: lock_write
-- Held until the transaction has ended in either way: whoever gets it afterwards sees the final state.
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: lock_patience
SELECT set_config('lock_timeout', %(milliseconds)s, true)

-- name: find_write
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM backtest_results WHERE write_id = %(write_id)s)
       OR EXISTS (SELECT FROM deleted_results WHERE write_id = %(write_id)s)

-- name: find_let_go
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM deleted_results WHERE write_id = %(write_id)s)


-- name: schema_state
-- Whose role may use no schema sees no table, which says nothing of what is there.
SELECT to_regclass('lakestore_schema') IS NOT NULL, current_setting('server_encoding'), current_schema() IS NOT NULL

-- name: schema_lock
SELECT pg_advisory_xact_lock(7813571003418391553)

-- name: schema_version
SELECT max(version) FROM lakestore_schema

-- name: insert_schema_version
INSERT INTO lakestore_schema (version) VALUES (%(version)s)

-- name: lake
-- With what a server may have switched off, so that a power loss takes more than it should.
SELECT lake_id, format_version, partition, numbers, state,
       array_remove(ARRAY[CASE WHEN current_setting('fsync') = 'off' THEN 'fsync' END,
                          CASE WHEN current_setting('full_page_writes') = 'off' THEN 'full_page_writes' END,
                          CASE WHEN current_setting('synchronous_commit') = 'off' THEN 'synchronous_commit' END], NULL)
FROM lake

-- name: insert_lake
INSERT INTO lake (lake_id, format_version, partition, numbers, next_field_id)
VALUES (%(lake_id)s, %(format_version)s, %(partition)s, %(numbers)s, %(next_field_id)s)

-- name: settings
SELECT name, setting FROM pg_settings WHERE name = ANY (%(names)s)

-- name: server_facts
SELECT current_database(), current_user::text, pg_is_in_recovery()


-- name: schema_counter
SELECT schema_counter FROM lake

-- name: lock_lake
-- Changes of tables and columns take their turn here: short, and rare.
SELECT schema_counter, next_field_id FROM lake FOR UPDATE

-- name: advance_lake
UPDATE lake SET schema_counter = schema_counter + 1, next_field_id = %(next_field_id)s

-- name: advance_counter
UPDATE lake SET schema_counter = schema_counter + 1 WHERE schema_counter >= %(seen)s
RETURNING schema_counter, next_field_id

-- name: set_counter
UPDATE lake SET schema_counter = %(counter)s, next_field_id = %(next_field_id)s

-- name: lake_tables
SELECT name, key FROM lake_tables ORDER BY name

-- name: lake_columns
SELECT table_name, field_id, parent, key, name, type, wide FROM lake_columns ORDER BY field_id

-- name: columns_of
SELECT table_name, field_id, parent, key, name, type, wide FROM lake_columns
WHERE table_name = %(table)s ORDER BY field_id

-- name: key_of_table
SELECT key FROM lake_tables WHERE name = %(table)s

-- name: table_of_key
SELECT name FROM lake_tables
WHERE hashtextextended(key, 0) = hashtextextended(%(key)s COLLATE "C", 0)
  AND hashtextextended(key, 1) = hashtextextended(%(key)s COLLATE "C", 1)
  AND key = %(key)s

-- name: insert_table
INSERT INTO lake_tables (name, key) VALUES (%(name)s, %(key)s)

-- name: insert_column
INSERT INTO lake_columns (field_id, table_name, parent, key, name, type, wide)
VALUES (%(field_id)s, %(table)s, %(parent)s, %(key)s, %(name)s, %(type)s, %(wide)s)

-- name: update_column
UPDATE lake_columns SET type = %(type)s, wide = %(wide)s WHERE field_id = %(field_id)s


-- name: file_path
coalesce(path, table_name || '/strategy=' || strategy || '/run_date=' || to_char(run_date, 'YYYY-MM-DD') || '/'
    || name || '.parquet')

-- name: at_paths
-- Files f by their paths, each given as its name or as the path itself; see file_path.
(f.name = ANY (%(names)s::uuid[]) OR f.path = ANY (%(paths)s::text[])) AND {file_path} = ANY (%(paths)s::text[])

-- name: added_at
-- Of a file f that is new, where its name does not tell it.
CASE WHEN substr(f.name::text, 15, 1) = '7' THEN NULL ELSE now() END

-- name: insert_files
-- Files and what each result has of them, in one statement: its plan never walks the files there are.
WITH added AS (
    INSERT INTO files (name, path, table_name, strategy, run_date, rows, bytes, sha256, is_whole, added_at)
    SELECT f.*, {added_at}
    FROM unnest(%(name)s::uuid[], %(path)s::text[], %(table)s::text[], %(strategy)s::text[],
                %(run_date)s::date[], %(rows)s::integer[], %(bytes)s::bigint[], %(sha256)s::bytea[],
                %(is_whole)s::boolean[]) AS f (name, path, table_name, strategy, run_date, rows, bytes, sha256, is_whole)
    RETURNING file_id, {file_path} AS path
)
INSERT INTO shared_rows (write_id, file_id, first_row, rows)
SELECT s.write_id, added.file_id, s.first_row, s.rows
FROM unnest(%(span_write_id)s::uuid[], %(span_path)s::text[], %(span_first_row)s::bigint[], %(span_rows)s::bigint[])
     AS s (write_id, path, first_row, rows)
JOIN added ON added.path = s.path


-- name: written_columns
task_id, strategy, strategies, status, created_at, file_size, json_size, run_date, sha256, profile,
fidelity, fidelity_bytes, write_id, replaces, saved_at, tables, params, metrics, stats

-- name: written_values
%(task_id)s, %(strategy)s, %(strategies)s::text[], %(status)s, %(created_at)s, %(file_size)s, %(json_size)s,
%(run_date)s, %(sha256)s, %(profile)s, %(fidelity)s, %(fidelity_bytes)s, %(write_id)s, %(replaces)s::uuid,
%(saved_at)s, %(tables)s::json, %(params)s::jsonb, %(metrics)s::jsonb, %(stats)s::bytea

-- name: insert_result
INSERT INTO backtest_results ({written_columns}) VALUES ({written_values})

-- name: replace_result
-- In place, so that whoever waits for the row finds the new version in it.
UPDATE backtest_results SET ({written_columns}) = ROW ({written_values}) WHERE task_id = %(task_id)s

-- name: lock_results
SELECT task_id, write_id FROM backtest_results WHERE task_id = ANY (%(task_ids)s) ORDER BY task_id FOR UPDATE

-- name: live_writes
SELECT task_id, write_id FROM backtest_results WHERE task_id = ANY (%(task_ids)s) ORDER BY task_id

-- name: lock_files
-- Two that share a file must not each take the other for alive.
SELECT file_id FROM data_files
WHERE let_go_at IS NULL AND file_id IN (SELECT file_id FROM result_files WHERE write_id = ANY (%(write_ids)s))
ORDER BY file_id FOR UPDATE

-- name: archive_results
INSERT INTO deleted_results (write_id, task_id, let_go_at, reason, row)
SELECT write_id, task_id, now(), %(reason)s, to_jsonb(r) - 'stats' FROM backtest_results r WHERE write_id = ANY (%(write_ids)s)

-- name: remove_results
DELETE FROM backtest_results WHERE write_id = ANY (%(write_ids)s)

-- name: is_needed
-- Whether a living result has rows in file f. Not by result_files: a condition of a join does not reach into its parts.
(f.is_whole AND EXISTS (SELECT FROM backtest_results r WHERE r.write_id = f.name)
 OR EXISTS (SELECT FROM shared_rows s JOIN backtest_results r USING (write_id) WHERE s.file_id = f.file_id))

-- name: let_files_go
UPDATE files f SET let_go_at = now()
WHERE let_go_at IS NULL
  AND file_id IN (SELECT file_id FROM result_files WHERE write_id = ANY (%(write_ids)s))
  AND NOT {is_needed}

-- name: mark_dead_rows
-- After archive_results and let_files_go: what is still alive here is alive for others.
INSERT INTO dead_rows (file_id, task_id)
SELECT DISTINCT s.file_id, d.task_id
FROM shared_rows s JOIN files f USING (file_id) JOIN deleted_results d USING (write_id)
WHERE s.write_id = ANY (%(write_ids)s) AND f.let_go_at IS NULL
ON CONFLICT DO NOTHING


-- name: result_columns
task_id, strategy, status, created_at, file_size, json_size, run_date,
strategies, sha256, profile,
fidelity, fidelity_bytes, write_id, saved_at, tables::text, params::text, metrics::text

-- name: listed_columns
-- JSON text is most of what a page costs.
task_id, strategy, status, created_at, file_size, json_size, run_date,
strategies, sha256, profile,
fidelity, fidelity_bytes, write_id, saved_at, tables::text,
CASE WHEN %(details)s THEN params::text END, CASE WHEN %(details)s THEN metrics::text END

-- name: result
SELECT {result_columns} FROM backtest_results WHERE task_id = %(task_id)s

-- name: results_of
SELECT {result_columns} FROM backtest_results WHERE task_id = ANY (%(task_ids)s)

-- name: result_with_spans
-- OFFSET 0 fixes the order of the join: a plan kept since the catalog was empty must not walk all files.
SELECT {result_columns}, spans.*
FROM backtest_results r
CROSS JOIN LATERAL (
    SELECT array_agg(path ORDER BY table_name, file_id, first_row),
           array_agg(table_name ORDER BY table_name, file_id, first_row),
           array_agg(strategy ORDER BY table_name, file_id, first_row),
           array_agg(first_row ORDER BY table_name, file_id, first_row),
           array_agg(own_rows ORDER BY table_name, file_id, first_row),
           array_agg(sha256 ORDER BY table_name, file_id, first_row),
           array_agg(bytes ORDER BY table_name, file_id, first_row)
    FROM (
        SELECT {file_path} AS path, file_id, table_name, strategy, 0::bigint AS first_row, rows AS own_rows, sha256, bytes
        FROM (SELECT * FROM files WHERE name = r.write_id AND is_whole AND let_go_at IS NULL OFFSET 0) AS whole
        UNION ALL
        SELECT {file_path}, f.file_id, table_name, strategy, s.first_row, s.rows, sha256, bytes
        FROM (SELECT * FROM shared_rows WHERE write_id = r.write_id OFFSET 0) AS s
        CROSS JOIN LATERAL (SELECT * FROM files d WHERE d.file_id = s.file_id AND let_go_at IS NULL OFFSET 0) AS f
    ) AS each
) AS spans
WHERE r.task_id = %(task_id)s

-- name: page
-- One page, newest first; `after` is the last (created_at, task_id) of the page before. A line with a parameter that is
-- not given is left out, and the limit is written as a number: the server then plans most pages only once.
TRUE
AND created_at >= %(since)s
AND created_at < %(until)s
AND created_at <= %(after_time)s AND (created_at < %(after_time)s OR task_id > %(after_id)s COLLATE "C")

-- name: results
SELECT {listed_columns} FROM backtest_results
WHERE {page}
ORDER BY created_at DESC, task_id LIMIT %(limit)s

-- name: results_by_status
SELECT {listed_columns} FROM backtest_results
WHERE {page}
AND left(status, 64) = left(%(status)s, 64) AND status = %(status)s
ORDER BY created_at DESC, task_id LIMIT %(limit)s

-- name: results_by_strategy
-- Documents of several strategies are found by each of them, through an index of their own.
SELECT {listed_columns} FROM (
    (SELECT * FROM backtest_results
     WHERE {page}
     AND strategy = %(strategy)s
     AND status = %(status)s
     ORDER BY created_at DESC, task_id LIMIT %(limit)s)
    UNION ALL
    (SELECT * FROM backtest_results
     WHERE {page}
     AND cardinality(strategies) > 1 AND strategies @> ARRAY[%(strategy)s::text] AND strategy <> %(strategy)s
     AND status = %(status)s
     ORDER BY created_at DESC, task_id LIMIT %(limit)s)
) r
ORDER BY created_at DESC, task_id LIMIT %(limit)s


-- name: version
-- What is the same as long as a reader of this server would see the same; a standby cannot tell.
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_postmaster_start_time() || ' ' || pg_current_snapshot() END

-- name: live_files
SELECT f.table_name, f.path, f.strategy, f.run_date, f.rows, f.bytes, d.dead, f.file_id
FROM data_files f
LEFT JOIN (
    SELECT file_id, array_agg(task_id ORDER BY task_id) AS dead FROM dead_rows GROUP BY file_id
) d USING (file_id)
WHERE f.let_go_at IS NULL AND (%(tables)s::text[] IS NULL OR f.table_name = ANY (%(tables)s::text[]))
ORDER BY f.table_name, f.strategy, f.run_date, f.file_id

-- name: within_partition
-- Rows of one result in two tables may be of partitions of different length, until compaction has moved all of them.
run_date <= coalesce((SELECT (date_trunc(partition, %(last_of_task)s::date::timestamp) + ('1 ' || partition)::interval)::date - 1
                      FROM lake), 'infinity')

-- name: within
-- Nothing given, nothing bounded. `since` and `until` are of created_at, from which run_date follows.
(%(strategies)s::text[] IS NULL OR strategy = ANY (%(strategies)s::text[]))
AND run_date >= coalesce(%(first_date)s::date, '-infinity')
AND run_date <= coalesce(%(last_date)s::date, 'infinity')
AND run_date >= coalesce((SELECT date_trunc(partition, %(since)s::timestamptz AT TIME ZONE 'UTC')::date FROM lake), '-infinity')
AND run_date <= coalesce((%(until)s::timestamptz AT TIME ZONE 'UTC')::date, 'infinity')
AND {within_partition}

-- name: within_results
(%(task_ids)s::text[] IS NULL OR task_id = ANY (%(task_ids)s::text[]))
AND created_at >= coalesce(%(since)s::timestamptz, '-infinity')
AND created_at <= coalesce(%(until)s::timestamptz, 'infinity')
AND (%(strategies)s::text[] IS NULL OR strategy = ANY (%(strategies)s::text[]))
AND run_date >= coalesce(%(first_date)s::date, '-infinity')
AND run_date <= coalesce(%(last_date)s::date, 'infinity')
AND {within_partition}

-- name: file_columns
f.table_name, f.path, f.strategy, f.run_date, f.rows, f.bytes,
(SELECT array_agg(d.task_id ORDER BY d.task_id) FROM dead_rows d WHERE d.file_id = f.file_id) AS dead, f.file_id

-- name: live_files_within
SELECT {file_columns} FROM data_files f
WHERE let_go_at IS NULL AND table_name = %(table)s AND {within}
ORDER BY strategy, run_date, file_id

-- name: statistics_of
-- Of the live results in files of one table, in few values, which a driver takes at once.
SELECT array_agg(file_id), string_agg(stats, ''), array_agg(coalesce(octet_length(stats), 0)), array_agg(rows)
FROM result_files JOIN backtest_results USING (write_id)
WHERE file_id = ANY (%(file_ids)s::bigint[])

-- name: live_files_of
-- From the results to their files: never all files of a table.
SELECT {file_columns} FROM data_files f
WHERE let_go_at IS NULL AND table_name = %(table)s AND {within}
  AND file_id = ANY (ARRAY(
      SELECT w.file_id FROM backtest_results r JOIN files w ON w.name = r.write_id AND w.is_whole
      WHERE r.task_id = ANY (%(task_ids)s::text[])
      UNION ALL
      SELECT s.file_id FROM backtest_results r JOIN shared_rows s USING (write_id)
      WHERE r.task_id = ANY (%(task_ids)s::text[])))
ORDER BY strategy, run_date, file_id

-- name: copy_results
-- Times as microseconds and days since 1970, so that no text form of a time has to be agreed on.
COPY (
    SELECT task_id, strategy, to_json(strategies)::text,
           status, (extract(epoch FROM created_at) * 1000000)::bigint, run_date - DATE '1970-01-01',
           file_size, json_size, profile, fidelity, fidelity_bytes, encode(sha256, 'hex'),
           (extract(epoch FROM saved_at) * 1000000)::bigint,
           CASE WHEN 'params' = ANY (%(columns)s::text[]) THEN params::text END,
           CASE WHEN 'metrics' = ANY (%(columns)s::text[]) THEN metrics::text END,
           CASE WHEN 'tables' = ANY (%(columns)s::text[]) THEN tables::text END, write_id
    FROM backtest_results
    WHERE {within_results}
    ORDER BY created_at DESC, task_id
) TO STDOUT (FORMAT csv)


-- Upkeep: what was let go, what is there, what is to be checked.

-- name: clock
-- What was let go is dated by this clock: only by the same one can it be old enough.
SELECT now(), state FROM lake

-- name: expired_results
SELECT let_go_at, write_id, task_id FROM deleted_results
WHERE let_go_at < %(before)s AND (let_go_at, write_id) > (coalesce(%(after_time)s::timestamptz, '-infinity'), %(after_id)s)
ORDER BY let_go_at, write_id LIMIT %(limit)s

-- name: forget_results
WITH gone AS (
    DELETE FROM deleted_results WHERE write_id = ANY (%(write_ids)s) AND let_go_at < %(before)s RETURNING write_id
)
DELETE FROM run_stats s USING gone WHERE s.write_id = gone.write_id

-- name: expired_files
-- Not what a younger version has rows in: it can still be brought back.
SELECT f.let_go_at, f.file_id, {file_path}, f.bytes FROM files f
WHERE f.let_go_at < %(before)s AND (f.let_go_at, f.file_id) > (coalesce(%(after_time)s::timestamptz, '-infinity'), %(after_id)s)
  AND NOT (f.is_whole
           AND EXISTS (SELECT FROM deleted_results d WHERE d.write_id = f.name AND d.let_go_at >= %(before)s))
  AND NOT EXISTS (SELECT FROM shared_rows s JOIN deleted_results d USING (write_id)
                  WHERE s.file_id = f.file_id AND d.let_go_at >= %(before)s)
ORDER BY f.let_go_at, f.file_id LIMIT %(limit)s

-- name: lock_expired_files
SELECT file_id FROM data_files WHERE file_id = ANY (%(file_ids)s) AND let_go_at < %(before)s
ORDER BY file_id FOR UPDATE

-- name: forget_dead_rows
DELETE FROM dead_rows WHERE file_id = ANY (%(file_ids)s)

-- name: forget_spans
DELETE FROM shared_rows WHERE file_id = ANY (%(file_ids)s)

-- name: forget_files
DELETE FROM files WHERE file_id = ANY (%(file_ids)s)

-- name: known_files
SELECT file_id FROM data_files WHERE file_id = ANY (%(file_ids)s)

-- name: known_paths
SELECT {file_path} FROM files f WHERE {at_paths}

-- name: is_live_path
SELECT EXISTS (SELECT FROM files f WHERE {at_paths} AND let_go_at IS NULL)

-- name: claim_paths
-- A file that the catalog does not know is let go before it is deleted: whoever wrote it can no longer commit it.
INSERT INTO files (name, path, table_name, strategy, run_date, rows, bytes, sha256, let_go_at, added_at)
SELECT f.*, 0, 0, decode(repeat('00', 32), 'hex'), now(), {added_at}
FROM unnest(%(name)s::uuid[], %(path)s::text[], %(table)s::text[], %(strategy)s::text[], %(run_date)s::date[])
     AS f (name, path, table_name, strategy, run_date)
ON CONFLICT DO NOTHING
RETURNING {file_path}

-- name: needed_tombstones
-- Versions of which the lake may still hold the row, or that can still be brought back; all while a rebuild is at it.
SELECT w.write_id FROM unnest(%(write_ids)s::uuid[]) AS w (write_id)
WHERE EXISTS (SELECT FROM result_files s WHERE s.write_id = w.write_id)
   OR EXISTS (SELECT FROM deleted_results d WHERE d.write_id = w.write_id)
   OR EXISTS (SELECT FROM backtest_results r WHERE r.write_id = w.write_id)
   OR EXISTS (SELECT FROM lake WHERE state <> 'ready')

-- name: live_file_page
SELECT file_id, path, bytes, sha256 FROM data_files
WHERE let_go_at IS NULL AND file_id > %(after)s ORDER BY file_id LIMIT %(limit)s

-- name: results_in_files
SELECT path, array_agg(task_id ORDER BY task_id)
FROM (SELECT file_id, {file_path} AS path FROM files f WHERE {at_paths}) AS f
CROSS JOIN LATERAL (SELECT write_id FROM result_files s WHERE s.file_id = f.file_id OFFSET 0) AS s
JOIN backtest_results USING (write_id)
GROUP BY path

-- name: let_go_page
SELECT write_id, task_id, reason FROM deleted_results WHERE write_id > %(after)s ORDER BY write_id LIMIT %(limit)s

-- name: known_versions
SELECT write_id FROM backtest_results WHERE write_id = ANY (%(write_ids)s)
UNION ALL SELECT write_id FROM deleted_results WHERE write_id = ANY (%(write_ids)s)

-- name: live_versions
SELECT task_id, write_id FROM backtest_results WHERE write_id = ANY (%(write_ids)s) ORDER BY task_id

-- name: live_task_ids
SELECT task_id FROM backtest_results WHERE task_id > %(after)s ORDER BY task_id LIMIT %(limit)s

-- name: some_task_ids
SELECT task_id FROM backtest_results ORDER BY random() LIMIT %(limit)s

-- name: let_go_versions
SELECT let_go_at, reason, {result_columns}
FROM (
    SELECT d.let_go_at, d.reason, r.*
    FROM deleted_results d CROSS JOIN LATERAL jsonb_populate_record(NULL::backtest_results, d.row) AS r
    WHERE d.task_id = %(task_id)s
) AS versions
ORDER BY let_go_at DESC, write_id DESC

-- name: let_go_spans
-- Of each place the newest file: compaction may have copied the rows before they were let go.
SELECT DISTINCT ON (f.table_name, f.strategy)
       f.path, f.table_name, f.strategy, s.first_row, s.rows, f.sha256, f.bytes
FROM result_files s JOIN data_files f USING (file_id)
WHERE s.write_id = %(write_id)s
ORDER BY f.table_name, f.strategy, f.file_id DESC


-- Compaction: files of many results in the place of others.

-- name: strategies_of_files
SELECT DISTINCT strategy FROM data_files WHERE let_go_at IS NULL AND strategy > %(after)s ORDER BY strategy LIMIT %(limit)s

-- name: compactable_files
SELECT f.file_id, f.path, f.table_name, f.strategy, f.run_date, f.rows, f.bytes, f.sha256,
       EXISTS (SELECT FROM dead_rows d WHERE d.file_id = f.file_id)
FROM data_files f
WHERE f.let_go_at IS NULL AND f.strategy = %(strategy)s AND (%(table)s::text IS NULL OR f.table_name = %(table)s::text)
ORDER BY f.table_name, f.run_date, f.file_id

-- name: living_rows
SELECT s.file_id, s.write_id, r.task_id, s.first_row, s.rows
FROM result_files s JOIN backtest_results r USING (write_id)
WHERE s.file_id = ANY (%(file_ids)s) ORDER BY s.file_id, s.first_row, s.rows

-- name: living_places
SELECT r.write_id, encode(r.sha256, 'hex'), f.path, f.table_name, f.strategy, s.first_row, s.rows, f.sha256, f.bytes
FROM backtest_results r JOIN result_files s USING (write_id) JOIN data_files f USING (file_id)
WHERE s.write_id = ANY (%(write_ids)s) AND f.let_go_at IS NULL ORDER BY f.file_id

-- name: living_stats
SELECT write_id, stats FROM backtest_results WHERE write_id = ANY (%(write_ids)s) AND stats IS NOT NULL

-- name: find_file
SELECT pg_is_in_recovery(), EXISTS (SELECT FROM files f WHERE {at_paths})

-- name: lock_versions
SELECT count(*) FROM (
    SELECT FROM backtest_results WHERE write_id = ANY (%(write_ids)s) ORDER BY task_id FOR UPDATE
) AS locked

-- name: lock_live_files
SELECT count(*) FROM (
    SELECT FROM files WHERE file_id = ANY (%(file_ids)s) AND let_go_at IS NULL ORDER BY file_id FOR UPDATE
) AS locked

-- name: let_compacted_go
UPDATE files SET let_go_at = now() WHERE file_id = ANY (%(file_ids)s)

-- name: resize_results
-- The share of each file that falls to a result, as layout.share has it.
UPDATE backtest_results r SET file_size = t.size
FROM (
    SELECT s.write_id, sum(CASE WHEN f.rows = 0 THEN f.bytes ELSE
        f.bytes * (s.first_row + s.rows) / f.rows - f.bytes * s.first_row / f.rows END) AS size
    FROM result_files s JOIN data_files f USING (file_id)
    WHERE s.write_id = ANY (%(write_ids)s) AND f.let_go_at IS NULL GROUP BY s.write_id
) AS t
WHERE r.write_id = t.write_id

-- name: move_results
UPDATE backtest_results SET run_date = %(run_date)s WHERE write_id = ANY (%(write_ids)s) AND run_date <> %(run_date)s

-- name: coarsen_lake
UPDATE lake SET partition = %(partition)s
WHERE array_position(ARRAY['day', 'month', 'year'], partition) < array_position(ARRAY['day', 'month', 'year'], %(partition)s::text)


-- Rebuild: the catalog made anew from the files.

-- name: rebuild_state
SELECT state FROM lake FOR UPDATE

-- name: hold_rebuild
-- For the session: when it ends, in whatever way, another rebuild may go on.
SELECT pg_try_advisory_lock(0, 0)

-- name: rebuild_guard
-- Whoever still has the catalog open changes nothing in it meanwhile.
CREATE OR REPLACE FUNCTION lakestore_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('lakestore.rebuild', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'the catalog is being rebuilt' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lakestore_guard BEFORE INSERT OR UPDATE OR DELETE ON backtest_results
    EXECUTE FUNCTION lakestore_guard();
CREATE TRIGGER lakestore_guard BEFORE INSERT OR UPDATE OR DELETE ON files EXECUTE FUNCTION lakestore_guard();
CREATE TRIGGER lakestore_guard BEFORE INSERT OR UPDATE OR DELETE ON lake_tables EXECUTE FUNCTION lakestore_guard();
CREATE TRIGGER lakestore_guard BEFORE INSERT OR UPDATE OR DELETE ON lake_columns EXECUTE FUNCTION lakestore_guard()

-- name: rebuild_unguard
DROP FUNCTION lakestore_guard() CASCADE

-- name: rebuild_pass
SELECT set_config('lakestore.rebuild', 'on', true)

-- name: rebuild_empty
TRUNCATE dead_rows, shared_rows, files, deleted_results, backtest_results, lake_columns, lake_tables

-- name: rebuild_begin
UPDATE lake SET state = 'rebuilding', schema_counter = schema_counter + 1, next_field_id = %(next_field_id)s

-- name: rebuild_end
UPDATE lake SET state = 'ready', schema_counter = greatest(schema_counter, %(counter)s) + 1, next_field_id = %(next_field_id)s

-- name: rebuilt_files
SELECT file_id, {file_path}, bytes, rows FROM files WHERE file_id > %(after)s ORDER BY file_id LIMIT %(limit)s

-- name: rebuilt_versions
SELECT write_id FROM (SELECT write_id FROM backtest_results UNION ALL SELECT write_id FROM deleted_results) AS v
WHERE write_id > %(after)s ORDER BY write_id LIMIT %(limit)s

-- name: restore_table
INSERT INTO lake_tables (name, key) VALUES (%(name)s, %(key)s) ON CONFLICT (name) DO NOTHING

-- name: restore_column
INSERT INTO lake_columns (field_id, table_name, parent, key, name, type, wide)
VALUES (%(field_id)s, %(table)s, %(parent)s, %(key)s, %(name)s, %(type)s, %(wide)s)
ON CONFLICT (field_id) DO UPDATE SET type = excluded.type, wide = excluded.wide

-- name: spans_of_versions
SELECT s.write_id, f.path, f.table_name, f.strategy, s.first_row, s.rows, f.sha256, f.bytes, f.rows
FROM result_files s JOIN data_files f USING (file_id)
WHERE s.write_id = ANY (%(write_ids)s)

-- name: stage_gone
-- Versions that are not alive, in the form of those that are; one that is may have the same task_id.
CREATE TEMP TABLE gone (LIKE backtest_results) ON COMMIT DROP

-- name: insert_gone
INSERT INTO gone ({written_columns}) VALUES ({written_values})

-- name: archive_gone
INSERT INTO deleted_results (write_id, task_id, let_go_at, reason, row)
SELECT write_id, task_id, now(), %(reason)s, to_jsonb(g) - 'stats' FROM gone g WHERE write_id = ANY (%(write_ids)s)

-- name: insert_empty_spans
INSERT INTO shared_rows (write_id, file_id, first_row, rows)
SELECT s.write_id, f.file_id, 0, 0
FROM unnest(%(write_id)s::uuid[], %(span_path)s::text[]) AS s (write_id, path)
JOIN (SELECT file_id, {file_path} AS path FROM files f WHERE {at_paths}) AS f USING (path)

-- name: drop_spans
WITH copies AS (
    SELECT d.write_id, f.file_id
    FROM unnest(%(write_id)s::uuid[], %(span_path)s::text[]) AS d (write_id, path)
    JOIN (SELECT file_id, {file_path} AS path FROM files f WHERE {at_paths}) AS f USING (path)
), whole AS (
    UPDATE files f SET is_whole = false FROM copies c WHERE f.file_id = c.file_id AND f.name = c.write_id
)
DELETE FROM shared_rows s USING copies c WHERE s.file_id = c.file_id AND s.write_id = c.write_id

-- name: insert_dead_rows
INSERT INTO dead_rows (file_id, task_id)
SELECT f.file_id, d.task_id
FROM unnest(%(span_path)s::text[], %(task_id)s::text[]) AS d (path, task_id)
JOIN (SELECT file_id, {file_path} AS path FROM files f WHERE {at_paths}) AS f USING (path)
ON CONFLICT DO NOTHING

-- name: next_files
SELECT max(file_id) FROM (
    SELECT file_id FROM files WHERE file_id > %(after)s ORDER BY file_id LIMIT %(limit)s
) AS page

-- name: let_unneeded_files_go
UPDATE files f SET let_go_at = now()
WHERE f.file_id > %(after)s AND f.file_id <= %(last)s AND f.let_go_at IS NULL
  AND NOT {is_needed}

-- name: forget_dead_rows_of_let_go
DELETE FROM dead_rows d USING files f
WHERE d.file_id = f.file_id AND f.let_go_at IS NOT NULL AND f.file_id > %(after)s AND f.file_id <= %(last)s


-- The ledger of migrate: which files are done, and who is at which.

-- name: hold_claimant
-- For the session: when it ends, in whatever way, others may take what it had claimed.
SELECT pg_advisory_lock(%(claimant)s)

-- name: copies_saved_since
SELECT count(*) FROM backtest_results n
WHERE n.saved_at >= %(since)s
  AND EXISTS (SELECT FROM backtest_results o WHERE o.sha256 = n.sha256 AND o.task_id <> n.task_id)

-- name: migrated_files
SELECT file_key, outcome, reason, size, mtime_ns, ctime_ns, sha256, results, finished_at
FROM migrated_files WHERE file_key = ANY (%(file_keys)s)

-- name: claim_files
-- What nobody finished since it was looked at, and nobody alive is at. A live claimant's lock is not to be had.
WITH wanted AS (
    SELECT * FROM unnest(%(file_keys)s::uuid[], %(paths)s::text[], %(seen)s::timestamptz[]) AS w (file_key, path, seen)
), added AS (
    INSERT INTO migrated_files (file_key, path, claimant, claimed_until)
    SELECT file_key, path, %(claimant)s, now() + make_interval(secs => %(lease)s) FROM wanted ORDER BY file_key
    ON CONFLICT (file_key) DO NOTHING
    RETURNING file_key
), free AS (
    SELECT f.file_key FROM migrated_files f JOIN wanted w USING (file_key)
    WHERE f.finished_at IS NOT DISTINCT FROM w.seen
      AND (f.claimant IS NULL OR f.claimed_until < now() OR pg_try_advisory_xact_lock(f.claimant))
    ORDER BY f.file_key FOR UPDATE OF f SKIP LOCKED
), taken AS (
    UPDATE migrated_files f SET claimant = %(claimant)s, claimed_until = now() + make_interval(secs => %(lease)s)
    FROM free WHERE f.file_key = free.file_key
    RETURNING f.file_key
)
SELECT file_key FROM added UNION ALL SELECT file_key FROM taken

-- name: renew_claims
UPDATE migrated_files SET claimed_until = now() + make_interval(secs => %(lease)s) WHERE claimant = %(claimant)s

-- name: release_claims
UPDATE migrated_files SET claimant = NULL, claimed_until = NULL
WHERE claimant = %(claimant)s AND (%(file_keys)s::uuid[] IS NULL OR file_key = ANY (%(file_keys)s::uuid[]))

-- name: finish_files
-- Only what is still claimed: whoever took a claim over finishes it himself.
UPDATE migrated_files f
SET outcome = w.outcome, reason = w.reason, size = w.size, mtime_ns = w.mtime_ns, ctime_ns = w.ctime_ns,
    sha256 = w.sha256, results = w.results, claimant = NULL, claimed_until = NULL, finished_at = clock_timestamp()
FROM unnest(%(file_keys)s::uuid[], %(outcomes)s::text[], %(reasons)s::text[], %(sizes)s::bigint[],
            %(mtimes)s::bigint[], %(ctimes)s::bigint[], %(sha256s)s::bytea[], %(results)s::jsonb[])
     AS w (file_key, outcome, reason, size, mtime_ns, ctime_ns, sha256, results)
WHERE f.file_key = w.file_key AND f.claimant = %(claimant)s
RETURNING f.file_key


-- name: digests
-- What tells whether a result is the same elsewhere, without what only a listing needs.
SELECT task_id, strategy, encode(sha256, 'hex'), json_size, file_size FROM backtest_results
WHERE %(strategy)s::text IS NULL OR strategy = %(strategy)s::text OR strategies @> ARRAY[%(strategy)s::text]

-- name: insert_run_stats
-- A rebuild that was stopped may have come by already: a version's numbers never change.
INSERT INTO run_stats (write_id, table_name, by_symbol)
SELECT * FROM unnest(%(write_id)s::uuid[], %(table)s::text[], %(by_symbol)s::bytea[])
ON CONFLICT DO NOTHING

-- name: run_stats
-- In few values instead of many rows: a driver takes them at once.
SELECT array_agg(task_id), array_agg(strategy), array_agg(run_date), string_agg(stats, ''), array_agg(octet_length(stats))
FROM backtest_results
WHERE stats IS NOT NULL AND {within_results}

-- name: run_stats_by_symbol
SELECT array_agg(task_id), array_agg(strategy), array_agg(run_date), array_agg(table_name),
       string_agg(stats, ''), array_agg(octet_length(stats)), string_agg(by_symbol, ''), array_agg(octet_length(by_symbol))
FROM run_stats s JOIN backtest_results r USING (write_id)
WHERE stats IS NOT NULL AND {within_results}
  AND (%(table_names)s::text[] IS NULL OR table_name = ANY (%(table_names)s::text[]))
