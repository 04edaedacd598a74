-- What a process asks before it trusts a database.

-- name: become_user
-- One statement at the start of every user's transaction; the settings end with it.
select set_config('role', 'misir_app', true), set_config('request.jwt.claims', %(claims)s, true),
       set_config('plan_cache_mode', %(plans)s, true);

-- name: become_service
select set_config('role', 'misir_service', true);

-- name: expect_model
-- The second statement of every transaction: raises MI001 when the library has been moved to another model.
select misir.expect_model(%(fingerprint)s);

-- name: list_applied_migrations
select migration_id from misir._yoyo_migration;

-- name: read_numbers
-- The engine's config and the model's calibration, where this database keeps its own.
select key, value from misir.system_config where key in ('engine', 'calibration');

-- name: list_enums
-- The types whose values travel as words, in binary, too.
select oid from pg_type where typtype = 'e' and typnamespace = 'misir'::regnamespace;

-- name: read_model
-- The fingerprint of the model this database's vectors are from.
select value ->> 'fingerprint' as fingerprint from misir.system_config where key = 'embedding_model';
