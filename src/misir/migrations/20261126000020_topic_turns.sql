-- How far a topic turned in weeks that are over: their pictures do not change any more, or say so when they do (decision 0042).

-- before: a Monday; chords: of the weeks before it, oldest first, the chord between the direction the topic had at the end of the
-- week and the one before; 0 where it stood still, null where there is nothing to compare with.
create table misir.topic_turns (
  subspace_id bigint primary key,
  user_id uuid not null,
  before date not null,
  chords double precision[] not null,
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete cascade
);
create index topic_turns_by_user on misir.topic_turns (user_id);

alter table misir.topic_turns enable row level security;
alter table misir.topic_turns force row level security;
create policy own_select on misir.topic_turns for select to misir_app using (user_id = (select auth.uid()));
create policy own_insert on misir.topic_turns for insert to misir_app with check (user_id = (select auth.uid()));
create policy own_update on misir.topic_turns for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy own_delete on misir.topic_turns for delete to misir_app using (user_id = (select auth.uid()));
grant select, update on misir.topic_turns to misir_app; -- it only ever cuts them
grant select, insert, update, delete on misir.topic_turns to misir_service;

-- A picture of a week that was over came, changed or went: from that week on, turns are not known any more. A capture's picture
-- is of this week, and cuts nothing; a map that was drawn again changes no direction.
create function misir.forget_turns() returns trigger language plpgsql set search_path = '' as $$
declare
  topic bigint := case tg_op when 'DELETE' then old.subspace_id else new.subspace_id end;
  week date := date_trunc('week', (case tg_op when 'DELETE' then old.day else new.day end)::timestamp);
begin
  update misir.topic_turns t set
    before = week, chords = t.chords[1 : greatest(cardinality(t.chords) - (t.before - week) / 7, 0)]
  where t.subspace_id = topic and t.before > week;
  return null;
end $$;
create trigger forget_turns after insert or delete or update of centroid, model on misir.subspace_snapshot
  for each row execute function misir.forget_turns();
