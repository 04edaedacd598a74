-- What somebody who looks after a library, or reports a fault, has to know.

-- name: count_everything
select (select count(*) from misir.space where user_id = %(user_id)s and deleted_at is null) as spaces,
       (select count(*) from misir.subspace where user_id = %(user_id)s and deleted_at is null) as subspaces,
       (select count(*) from misir.artifact where user_id = %(user_id)s and deleted_at is null) as artifacts,
       (select count(*) from misir.artifact where user_id = %(user_id)s and deleted_at is not null) as trashed_artifacts,
       (select count(*) from misir.embedding where user_id = %(user_id)s) as embeddings,
       (select count(*) from misir.signal where user_id = %(user_id)s) as signals,
       (select count(*) from misir.correction where user_id = %(user_id)s) as corrections,
       (select count(*) from misir.job where user_id = %(user_id)s and last_error is not null) as failing_jobs,
       pg_database_size(current_database()) as database_bytes,
       current_setting('server_version') as postgresql,
       (select extversion from pg_extension where extname = 'vector') as pgvector;
