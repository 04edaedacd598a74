-- Reading by time, and the map: how long each visit took, the indexes that figures are counted from, a library as it
-- was at some time, and where topics and artifacts lie on the map of their space.

-- ---- time ---------------------------------------------------------------------------------------------------------

-- What the client measured at this visit; null: it did not measure.
alter table misir.signal
  add column dwell_time_ms bigint check (dwell_time_ms >= 0),
  add column active_time_ms bigint check (active_time_ms >= 0);

-- Until now only the longest visit of each artifact was kept: it counts as its last one.
update misir.signal g set dwell_time_ms = nullif(a.dwell_time_ms, 0), active_time_ms = a.active_time_ms
from misir.artifact a
where a.id = g.artifact_id and a.user_id = g.user_id
  and g.id = (select s.id from misir.signal s where s.artifact_id = a.id order by s.seq desc limit 1);

-- ---- what figures are counted from, without touching the texts -----------------------------------------------------

create index signal_by_time on misir.signal (user_id, occurred_at)
  include (artifact_id, session_id, dwell_time_ms, active_time_ms);
create index artifact_figures on misir.artifact (user_id, space_id)
  include (id, subspace_id, engagement_level, content_source, decay_rate, similarity, fit, captured_at, domain, word_count)
  where deleted_at is null;
drop index misir.artifact_newest;
create index artifact_newest on misir.artifact (user_id, captured_at desc, id desc)
  include (space_id, subspace_id, assigned_by, fit) where deleted_at is null;
create index snapshot_figures on misir.subspace_snapshot (subspace_id, day desc)
  include (user_id, artifact_count, confidence, map_x, map_y);

-- The live artifacts of the asker, of one space or of all, as they were at a time: what each signal until then left
-- them as. Null is now, which is read from the artifacts themselves. Topics are those of today: a correction counts as
-- if it had always been made.
create function misir.pages_at(asked_space bigint, asked_time timestamptz)
returns table (id bigint, user_id uuid, space_id bigint, subspace_id bigint, engagement_level misir.engagement_level,
               content_source misir.content_source, decay_rate misir.decay_rate, similarity double precision,
               fit double precision, captured_at timestamptz, domain text, word_count integer)
language sql stable as $$
  select a.id, a.user_id, a.space_id, a.subspace_id, a.engagement_level, a.content_source, a.decay_rate, a.similarity,
         a.fit, a.captured_at, a.domain, a.word_count
  from misir.artifact a
  where asked_time is null and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
  union all
  select a.id, a.user_id, a.space_id, a.subspace_id, g.engagement_level, a.content_source, a.decay_rate, g.similarity,
         g.fit, g.occurred_at, a.domain, a.word_count
  from (
    select distinct on (s.artifact_id) s.artifact_id, s.user_id, s.engagement_level, s.similarity, s.fit, s.occurred_at
    from misir.signal s
    where asked_time is not null and s.user_id = (select auth.uid()) and s.occurred_at <= asked_time
    order by s.artifact_id, s.seq desc
  ) g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id
  where (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
$$;
revoke all on function misir.pages_at(bigint, timestamptz) from public;
grant execute on function misir.pages_at(bigint, timestamptz) to misir_app;

-- ---- the map ------------------------------------------------------------------------------------------------------

-- What the map of a space was computed from, and where single artifacts lie on it; topics have their places themselves.
-- scale: map units per unit of cosine distance, kept from one layout to the next so that nothing moves without a reason.
create table misir.map_layout (
  space_id bigint primary key,
  user_id uuid not null,
  seq bigint not null,
  topic_count integer not null,
  scale double precision not null,
  stress double precision not null,
  artifact_ids bigint[] not null default '{}',
  artifact_xs real[] not null default '{}',
  artifact_ys real[] not null default '{}',
  computed_at timestamptz not null,
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);

alter table misir.map_layout enable row level security;
alter table misir.map_layout force row level security;
create policy own_select on misir.map_layout for select to misir_app using (user_id = (select auth.uid()));
create policy own_insert on misir.map_layout for insert to misir_app with check (user_id = (select auth.uid()));
create policy own_update on misir.map_layout for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy own_delete on misir.map_layout for delete to misir_app using (user_id = (select auth.uid()));

-- The worker draws the map; people look at it.
grant select on misir.map_layout to misir_app;
grant select, insert, update, delete on misir.map_layout to misir_service;
