-- Two roles for the catalog of one lake, named after its database: <database>_reader and <database>_writer.
-- Run in that database by its owner, who also upgrades the catalog; again after a change of this file.
-- Then: GRANT backtests_reader TO alice. Both are without login, and nobody else may connect any more.

DO $$
DECLARE
    reader text := left(current_database(), 56) || '_reader';
    writer text := left(current_database(), 56) || '_writer';
    role   text;
BEGIN
    FOREACH role IN ARRAY ARRAY[reader, writer] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
    END LOOP;

    -- Until PostgreSQL 14 everybody may make tables, and everywhere temporary ones.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I, %I', current_database(), reader, writer);
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, %I, %I', reader, writer);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I, %I', current_database(), reader, writer);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I, %I', reader, writer);

    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', reader);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', writer);
    -- Tables of later versions.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO %I', reader);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', writer);

    -- Whose the catalog is and in which version is its owner's to say; a writer counts changes and field ids.
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON lake, lakestore_schema FROM %I', writer);
    EXECUTE format('GRANT UPDATE (schema_counter, next_field_id) ON lake TO %I', writer);
END
$$;
