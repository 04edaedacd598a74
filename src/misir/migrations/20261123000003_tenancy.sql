-- Who may touch what. Row level security is on and forced on every table with a user_id; one policy per verb,
-- all of them the same sentence: the row is yours. What a role may do at all is the grants below.

do $$
declare
  target text;
begin
  for target in
    select c.relname from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
    where c.relnamespace = 'misir'::regnamespace and c.relkind = 'r'
  loop
    execute format('alter table misir.%I enable row level security', target);
    execute format('alter table misir.%I force row level security', target);
    execute format('create policy own_select on misir.%I for select to misir_app using (user_id = (select auth.uid()))', target);
    execute format('create policy own_insert on misir.%I for insert to misir_app with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_update on misir.%I for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_delete on misir.%I for delete to misir_app using (user_id = (select auth.uid()))', target);
  end loop;
end $$;

-- What people write, through the app.
grant select, insert, update, delete on
  misir.profile, misir.space, misir.subspace, misir.marker, misir.subspace_marker, misir.session,
  misir.artifact, misir.embedding, misir.idempotency_key
  to misir_app;
-- The log: written once, never changed.
grant select, insert on misir.signal, misir.correction, misir.subspace_event to misir_app;
-- What the worker derives.
grant select on misir.subspace_snapshot, misir.drift_event, misir.system_config to misir_app;

grant select, insert, update, delete on all tables in schema misir to misir_service;
grant usage on all sequences in schema misir to misir_app, misir_service;

-- One existing client reads these three tables through Supabase's data API.
create policy own_select_by_data_api on misir.space for select to authenticated using (user_id = (select auth.uid()));
create policy own_select_by_data_api on misir.subspace for select to authenticated using (user_id = (select auth.uid()));
create policy own_select_by_data_api on misir.marker for select to authenticated using (user_id = (select auth.uid()));
grant select on misir.space to authenticated;
grant select (id, user_id, space_id, name, description, artifact_count, confidence, learning_rate, state, created_at, updated_at)
  on misir.subspace to authenticated;
grant select (id, user_id, space_id, label, weight, created_at, updated_at) on misir.marker to authenticated;
