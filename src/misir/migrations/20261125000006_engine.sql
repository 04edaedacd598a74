-- The engine that learns: corrections that can be undone, decisions that can be explained, topics that are born,
-- sleep and drift, and the jobs that look at them after a capture is answered.

-- ---- what a topic and its space keep besides ------------------------------------------------------------------

alter table misir.subspace
  add column placed_count integer not null default 0 check (placed_count >= 0), -- the n of coherence: never falls
  add column named_by misir.assigned_by not null default 'user',                -- a name of the engine's may change
  add column named_count integer not null default 0,                            -- its size when the engine named it
  add column anchor_seq bigint not null default 0,                              -- drift looks at what came after it
  add column deleted_at timestamptz;
update misir.subspace set placed_count = artifact_count;

alter table misir.space
  add column judged_seq bigint not null default 0,       -- drift has been decided up to here
  add column consolidated_seq bigint not null default 0, -- and placements have been looked at again up to here
  add column consolidated_at timestamptz;

-- ---- what an artifact keeps besides ---------------------------------------------------------------------------

-- learned_seq: the place in the log where it was placed, or first taught its topic. band_1..4: the quarters of its
-- text's simhash, by which near-identical texts are found without a scan.
alter table misir.artifact
  add column learned_seq bigint not null default 0,
  add column band_1 integer, add column band_2 integer, add column band_3 integer, add column band_4 integer;
update misir.artifact a set learned_seq = g.seq
from (select artifact_id, min(seq) as seq from misir.signal group by artifact_id) g where g.artifact_id = a.id;

create index artifact_band_1 on misir.artifact (band_1, space_id) where duplicate_of is null;
create index artifact_band_2 on misir.artifact (band_2, space_id) where duplicate_of is null;
create index artifact_band_3 on misir.artifact (band_3, space_id) where duplicate_of is null;
create index artifact_band_4 on misir.artifact (band_4, space_id) where duplicate_of is null;
create index artifact_unassigned on misir.artifact (space_id, learned_seq desc)
  where subspace_id is null and deleted_at is null;
create index artifact_lessons on misir.artifact (subspace_id, learned_seq) where deleted_at is null;

-- ---- the log --------------------------------------------------------------------------------------------------

-- Everything a decision was made of. client_teaches: did the client let it teach? withheld: why it did not.
alter table misir.signal
  add column client_teaches boolean not null default true,
  add column none_probability double precision check (none_probability between 0 and 1),
  add column candidates jsonb not null default '[]',
  add column candidate_count integer not null default 0,
  add column withheld text[] not null default '{}';

alter table misir.correction
  add column undoes bigint,
  add foreign key (undoes, user_id) references misir.correction (id, user_id) on delete cascade;
create unique index correction_undone_once on misir.correction (user_id, undoes) where undoes is not null;

-- Where a correction put each artifact it moved. teaches: null as each signal decided, else for all its signals.
create table misir.correction_move (
  correction_id bigint not null,
  artifact_id bigint not null,
  user_id uuid not null,
  space_id bigint not null,
  seq bigint not null,
  from_subspace_id bigint,
  to_subspace_id bigint,
  assigned_by misir.assigned_by,
  teaches boolean,
  primary key (correction_id, artifact_id),
  foreign key (correction_id, user_id) references misir.correction (id, user_id) on delete cascade,
  foreign key (artifact_id, user_id) references misir.artifact (id, user_id) on delete cascade,
  foreign key (from_subspace_id, user_id) references misir.subspace (id, user_id) on delete set null (from_subspace_id),
  foreign key (to_subspace_id, user_id) references misir.subspace (id, user_id) on delete set null (to_subspace_id)
);
create index correction_move_by_artifact on misir.correction_move (artifact_id, space_id, seq desc);
create index correction_move_by_subspace on misir.correction_move (to_subspace_id);

insert into misir.correction_move (correction_id, artifact_id, user_id, space_id, seq, from_subspace_id, to_subspace_id,
                                   assigned_by, teaches)
select c.id, a.id, c.user_id, c.space_id, c.seq, f.id, t.id,
       case when (c.payload ->> 'teaches')::boolean then 'user'::misir.assigned_by end, (c.payload ->> 'teaches')::boolean
from misir.correction c
join misir.artifact a on a.id = c.artifact_ids[1] and a.user_id = c.user_id
left join misir.subspace f on f.id = (c.payload ->> 'from')::bigint and f.user_id = c.user_id
left join misir.subspace t on t.id = (c.payload ->> 'to')::bigint and t.user_id = c.user_id
where c.kind = 'move';

-- Every signal with the topic it belongs to now: the one it was decided for, or where the last correction that
-- still stands put its artifact. `position` is its place in its space's order; what came from another space counts
-- from its arrival. Deleted artifacts are not there: they never were.
create view misir.lesson with (security_invoker = true) as
select g.user_id, a.space_id, g.id as signal_id, g.artifact_id, g.embedding_id, g.base_weight, g.occurred_at,
       case when m.correction_id is null then g.subspace_id else m.to_subspace_id end as subspace_id,
       case when m.teaches is null then g.updates_centroid
            else m.teaches and (g.client_teaches or m.assigned_by = 'user') end as may_teach,
       case when g.space_id = a.space_id then g.seq else m.seq end as position,
       a.subspace_id as artifact_subspace_id
from misir.signal g
join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
left join lateral (
  select v.correction_id, v.to_subspace_id, v.teaches, v.assigned_by, v.seq
  from misir.correction_move v
  where v.artifact_id = g.artifact_id and v.user_id = g.user_id and v.space_id = a.space_id
    and (g.space_id <> a.space_id or v.seq > g.seq)
    and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
  order by v.seq desc limit 1
) m on true;

-- Where the log says that each artifact is, in the space it is in: its last signal there, or the last correction
-- after that which still stands.
create view misir.placement with (security_invoker = true) as
select a.id as artifact_id, a.user_id, a.space_id,
       case when m.seq > coalesce(g.seq, 0) then m.to_subspace_id else g.subspace_id end as subspace_id,
       case when m.seq > coalesce(g.seq, 0) then m.assigned_by else g.assigned_by end as assigned_by
from misir.artifact a
left join lateral (
  select s.seq, s.subspace_id, s.assigned_by from misir.signal s
  where s.artifact_id = a.id and s.user_id = a.user_id and s.space_id = a.space_id order by s.seq desc limit 1
) g on true
left join lateral (
  select v.seq, v.to_subspace_id, v.assigned_by from misir.correction_move v
  where v.artifact_id = a.id and v.user_id = a.user_id and v.space_id = a.space_id
    and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
  order by v.seq desc limit 1
) m on true;

-- ---- the life of topics ---------------------------------------------------------------------------------------

alter table misir.subspace_event drop constraint subspace_event_type_check;
alter table misir.subspace_event add constraint subspace_event_type_check check (type in (
  'born', 'drifted', 'merged', 'split', 'dormant', 'returned', 'renamed', 'retired', 'reopened', 'consolidated'));

-- ---- jobs -----------------------------------------------------------------------------------------------------

-- One row per space and kind of work; whoever causes work moves run_at forward and version up, in the same
-- transaction. A worker holds a lease, and what arrived meanwhile (another version) is not lost with its end.
create table misir.job (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  kind text not null check (kind in ('reflect')),
  version bigint not null default 1,
  run_at timestamptz not null default now(),
  leased_until timestamptz,
  attempts integer not null default 0,
  last_error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (user_id, space_id, kind),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);
create index job_due on misir.job (run_at);
create trigger touch before update on misir.job for each row execute function misir.touch();

-- ---- who may touch what ---------------------------------------------------------------------------------------

do $$
declare
  target text;
begin
  foreach target in array array['correction_move', 'job'] loop
    execute format('alter table misir.%I enable row level security', target);
    execute format('alter table misir.%I force row level security', target);
    execute format('create policy own_select on misir.%I for select to misir_app using (user_id = (select auth.uid()))', target);
    execute format('create policy own_insert on misir.%I for insert to misir_app with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_update on misir.%I for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_delete on misir.%I for delete to misir_app using (user_id = (select auth.uid()))', target);
  end loop;
end $$;

grant select, insert on misir.correction_move to misir_app;
grant select, insert, update on misir.job to misir_app;
grant select on misir.lesson, misir.placement to misir_app;
-- A capture writes the day's snapshot of the topic it changed, in its own transaction.
grant insert, update on misir.subspace_snapshot to misir_app;
grant select, insert, update, delete on misir.correction_move, misir.job to misir_service;
grant select on misir.lesson, misir.placement to misir_service;
grant usage on all sequences in schema misir to misir_app, misir_service;
