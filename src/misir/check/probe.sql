-- What `misir check` asks a database about its login.

-- name: describe_login
-- Is the login more than a plain one? And does it own anything of ours?
select r.rolname as name, r.rolsuper as is_superuser, r.rolbypassrls as bypasses_rls,
       exists (select from pg_class c where c.relnamespace = 'misir'::regnamespace and c.relowner = r.oid) as is_owner
from pg_roles r where r.rolname = session_user;

-- name: count_unforced
-- Tables of tenants without forced row level security.
select count(*) as count from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
where c.relnamespace = 'misir'::regnamespace and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity);
