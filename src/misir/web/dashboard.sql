-- What the internal dashboard asks of the database: the catalogue only, never a user's row.

-- name: measure_database
-- Its size, its connections, and how many it may have.
select pg_database_size(current_database()) as database_bytes,
       (select count(*) from pg_stat_activity where datname = current_database()) as connections,
       current_setting('max_connections')::int as max_connections;

-- name: measure_tables
-- The largest tables with their indexes; rows as of the last analyze, which costs nothing to ask.
select c.relname as name, pg_total_relation_size(c.oid) as total_bytes, pg_indexes_size(c.oid) as index_bytes,
       greatest(c.reltuples, 0)::bigint as estimated_rows
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'misir' and c.relkind in ('r', 'p')
order by total_bytes desc, c.relname limit %(limit)s;
