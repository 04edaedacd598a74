-- Personal API keys and the administrators' audit.

create table misir.api_key (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  prefix text not null, -- what a person recognises the key by
  key_hash bytea not null, -- SHA-256 of the whole key; 256 random bits need no salt
  scopes text[] not null check (cardinality(scopes) > 0 and scopes <@ array['read', 'write', 'admin']),
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  unique (id, user_id),
  unique (user_id, key_hash)
);
create index api_key_by_hash on misir.api_key (key_hash) where revoked_at is null;

alter table misir.api_key enable row level security;
alter table misir.api_key force row level security;
create policy own_select on misir.api_key for select to misir_app using (user_id = (select auth.uid()));
create policy own_insert on misir.api_key for insert to misir_app with check (user_id = (select auth.uid()));
create policy own_update on misir.api_key for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy own_delete on misir.api_key for delete to misir_app using (user_id = (select auth.uid()));
grant select, insert, update, delete on misir.api_key to misir_app, misir_service;

-- Before a request has a user there is nobody row level security could let see a key. So this asks for them:
-- the hash of a whole key in, its owner and scopes out. Who knows the hash has the key.
create function misir.find_api_key(hash bytea)
returns table (id bigint, user_id uuid, scopes text[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.id, k.user_id, k.scopes from misir.api_key k where k.key_hash = hash and k.revoked_at is null
$$;
revoke all on function misir.find_api_key(bytea) from public;
grant execute on function misir.find_api_key(bytea) to misir_app;
grant select on misir.api_key to misir_definer;

-- Who did what to whose data. Written before the act, by the service role; nobody changes it.
create table misir.admin_audit (
  id bigint generated always as identity primary key,
  actor text not null, -- a user's id, or service
  action text not null, -- method and route
  target_user_id uuid,
  target text,
  request_id text not null,
  occurred_at timestamptz not null default now()
);
create index admin_audit_by_target on misir.admin_audit (target_user_id, occurred_at);
grant select, insert on misir.admin_audit to misir_service;

grant usage on all sequences in schema misir to misir_app, misir_service;

do $$
begin
  grant create on schema misir to misir_definer;
  alter function misir.find_api_key(bytea) owner to misir_definer;
  revoke create on schema misir from misir_definer;
end $$;
