-- Roles, the auth schema of a Supabase project where there is none, and the vector extension.
--
-- misir_app      what every user transaction becomes: writes under row level security
-- misir_service  workers and admin routes: every tenant, no login of its own
-- misir_definer  owns the functions that read past row level security, and can do nothing else
-- anon, authenticated, service_role, auth.uid() are Supabase's; a plain PostgreSQL gets its own.

do $$
declare
  wanted record;
begin
  for wanted in select * from (values
    ('anon', 'nologin noinherit'),
    ('authenticated', 'nologin noinherit'),
    ('service_role', 'nologin noinherit bypassrls'),
    ('misir_app', 'nologin noinherit'),
    ('misir_service', 'nologin noinherit bypassrls'),
    ('misir_definer', 'nologin noinherit bypassrls')
  ) as role(name, options) loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      -- Roles belong to the whole server: another database's migration may create them meanwhile.
      begin
        execute format('create role %I %s', wanted.name, wanted.options);
      exception when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end $$;

do $$
begin
  if not exists (select from pg_extension where extname = 'vector') then
    if exists (select from pg_namespace where nspname = 'extensions') then
      create extension vector with schema extensions;
    else
      create extension vector with schema public;
    end if;
  end if;
end $$;

do $$
begin
  if not exists (select from pg_namespace where nspname = 'auth') then
    create schema auth;
    execute $f$
      create function auth.uid() returns uuid language sql stable as $body$
        select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
      $body$
    $f$;
    grant usage on schema auth to anon, authenticated, service_role, misir_app, misir_service, misir_definer;
  end if;
end $$;

grant usage on schema misir to misir_app, misir_service, misir_definer, authenticated;
