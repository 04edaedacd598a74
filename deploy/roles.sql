-- The three logins, once per server, by a superuser:
--
--   MISIR_OWNER_PASSWORD=… MISIR_LOGIN_PASSWORD=… MISIR_WORKER_PASSWORD=… psql -d misir -f deploy/roles.sql
--
-- misir_owner   DATABASE_MIGRATE_URL: owns the schema, creates the roles the schema needs
-- misir_login   DATABASE_URL: owns nothing, may do nothing by itself
-- misir_worker  DATABASE_SERVICE_URL: the same, for workers and admin routes
--
-- `misir migrate` then lets misir_login become misir_app, and misir_worker become misir_service.
\set ON_ERROR_STOP on
\getenv owner_password MISIR_OWNER_PASSWORD
\getenv login_password MISIR_LOGIN_PASSWORD
\getenv worker_password MISIR_WORKER_PASSWORD

create role misir_owner login createrole bypassrls password :'owner_password';
create role misir_login login noinherit password :'login_password';
create role misir_worker login noinherit password :'worker_password';

-- From PostgreSQL 16 on: who creates a role may then also hand a function to it.
select current_setting('server_version_num')::int >= 160000 as is_16 \gset
\if :is_16
alter role misir_owner set createrole_self_grant = 'set, inherit';
\endif

select current_database() as this_database \gset
alter database :"this_database" owner to misir_owner;
create extension if not exists vector;
