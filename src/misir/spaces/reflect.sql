-- What the worker reads and writes of a space, as the service role: every statement names its user.

-- name: load_standing
-- Is it live, archived, or in the trash?
select archived_at, deleted_at from misir.space
where id = %(space_id)s and user_id = %(user_id)s;

-- name: load_progress
select id, next_seq, auto_subspaces, judged_seq, consolidated_seq, consolidated_at
from misir.space
where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null and archived_at is null;

-- ---- drift --------------------------------------------------------------------------------------------------------

-- name: load_windows
-- Of every topic that learned something after judged_seq: what it was taught since its anchor, newest %(limit)s.
select t.id as topic_id, w.artifact_id, w.learned_seq, w.vector
from (
  select t.id, t.user_id, t.anchor_seq
  from misir.subspace t
  cross join lateral (
    select n.learned_seq from misir.artifact n
    where n.subspace_id = t.id and n.user_id = t.user_id and n.deleted_at is null and n.taught_weight > 0
      and n.learned_seq <= %(upto)s
    order by n.learned_seq desc limit 1
  ) last
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.state <> 'retired'
    and last.learned_seq > %(judged_seq)s
) t
cross join lateral (
  select a.id as artifact_id, a.learned_seq, e.vector
  from misir.artifact a
  cross join lateral (
    select v.vector from misir.embedding v
    where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
    limit 1 -- by its key, whatever the planner knows of so new a table
  ) e
  where a.subspace_id = t.id and a.user_id = t.user_id and a.deleted_at is null and a.taught_weight > 0
    and a.learned_seq between t.anchor_seq and %(upto)s
  order by a.learned_seq desc limit %(limit)s
) w
order by t.id, w.learned_seq, w.artifact_id;

-- name: advance_judged
-- Only from where this judgement began: of two workers that judged the same, one moves it on.
update misir.space set judged_seq = %(upto)s
where id = %(space_id)s and user_id = %(user_id)s and judged_seq = %(was)s
returning id;

-- name: list_magnitudes
-- What drift is usual for this person.
select magnitude from misir.drift_event where user_id = %(user_id)s order by id desc limit 1000;

-- name: insert_drift_event
insert into misir.drift_event (user_id, subspace_id, trigger_signal_id, magnitude, raw_drift, z, notable, model,
                               previous_mean, new_mean, turning_artifact_ids, occurred_at)
select %(user_id)s, %(topic_id)s, g.id, %(magnitude)s, %(raw_drift)s, %(z)s, %(notable)s, %(model)s,
       %(previous_mean)s, %(new_mean)s, %(turning)s, coalesce(g.occurred_at, %(now)s::timestamptz)
from (select 1) one
left join misir.signal g on g.space_id = %(space_id)s and g.user_id = %(user_id)s and g.seq = %(position)s
returning id, trigger_signal_id, occurred_at;

-- name: list_left_contents
-- What the topic was about before each of its latest drifts, in the words of this model.
select id, previous_mean from misir.drift_event
where subspace_id = %(topic_id)s and user_id = %(user_id)s and model = %(model)s
order by id desc limit 50;

-- name: move_anchor
-- What drift is measured from next: the recent items of this event are the first reference.
update misir.subspace set anchor_centroid = %(anchor)s, anchor_seq = %(anchor_seq)s, anchor_count = %(anchor_count)s,
                          anchor_at = %(occurred_at)s
where id = %(topic_id)s and user_id = %(user_id)s;

-- ---- consolidation ------------------------------------------------------------------------------------------------

-- name: count_news
-- Signals since the last consolidation, and how many artifacts there are.
select (select count(*) from misir.signal g
        where g.space_id = %(space_id)s and g.user_id = %(user_id)s and g.seq > %(consolidated_seq)s) as signal_count,
       (select coalesce(sum(artifact_count), 0) from misir.subspace t
        where t.space_id = %(space_id)s and t.user_id = %(user_id)s and t.state <> 'retired') as artifact_count;

-- name: load_items
-- The newest artifacts of the space that are in a topic or may come into one, in log order.
select * from (
  select a.id, a.title, a.subspace_id, a.assigned_by, a.engagement_level, a.learned_seq, e.vector
  from misir.artifact a
  cross join lateral (
    select v.vector from misir.embedding v
    where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
    limit 1 -- by its key, whatever the planner knows of so new a table
  ) e
  where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.deleted_at is null
    and (a.subspace_id is not null or a.assigned_by is null)
  order by a.learned_seq desc, a.id desc limit %(limit)s
) newest
order by learned_seq, id;

-- name: list_places
-- Where artifacts are now, under the lock: who moved meanwhile is left alone.
select id, subspace_id, assigned_by from misir.artifact
where id = any(%(artifact_ids)s) and user_id = %(user_id)s and deleted_at is null;

-- name: note_consolidation
update misir.space set consolidated_seq = next_seq - 1, consolidated_at = %(now)s
where id = %(space_id)s and user_id = %(user_id)s;

-- ---- names --------------------------------------------------------------------------------------------------------

-- name: list_unnamed
-- Topics the engine named, that have doubled since.
select id from misir.subspace
where user_id = %(user_id)s and space_id = %(space_id)s and state <> 'retired' and named_by = 'engine'
  and artifact_count >= greatest(%(min_artifacts)s, 2 * named_count);

-- name: load_documents
-- The beginnings of the newest texts of every topic: what tells them apart.
select t.id as topic_id, t.name, t.artifact_count, d.text
from misir.subspace t
left join lateral (
  select concat_ws(E'\n', a.title, left(a.content, %(n_characters)s)) as text
  from misir.artifact a
  where a.subspace_id = t.id and a.user_id = t.user_id and a.deleted_at is null
  order by a.learned_seq desc limit %(n_documents)s
) d on true
where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
order by t.id;

-- name: rename_topic
-- Unless a person named it meanwhile.
update misir.subspace set name = %(name)s, named_count = artifact_count
where id = %(topic_id)s and user_id = %(user_id)s and named_by = 'engine'
returning id;

-- name: drop_extracted
-- Markers of an earlier naming that no longer tell the topic.
delete from misir.subspace_marker l using misir.marker m
where l.subspace_id = %(topic_id)s and l.user_id = %(user_id)s and l.source = 'extracted'
  and m.id = l.marker_id and m.user_id = l.user_id and not lower(m.label) = any(%(labels)s);

-- ---- sleep --------------------------------------------------------------------------------------------------------

-- name: list_silent
-- Active topics without a signal for long, with the times of their last signals.
select t.id, t.name, coalesce(t.last_activity_at, t.created_at) as last_activity_at, coalesce(g.times, '{}') as times
from misir.subspace t
cross join lateral (
  select array_agg(s.occurred_at) as times from (
    select occurred_at from misir.signal
    where subspace_id = t.id and user_id = t.user_id order by seq desc limit 200) s
) g
where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.state = 'active'
  and coalesce(t.last_activity_at, t.created_at) < %(before)s;

-- name: fall_asleep
-- Unless something was read in it meanwhile.
update misir.subspace set state = 'dormant'
where id = %(topic_id)s and user_id = %(user_id)s and state = 'active'
  and coalesce(last_activity_at, created_at) = %(last_activity_at)s
returning id;

-- ---- the map ------------------------------------------------------------------------------------------------------

-- name: load_map
-- The log's next position, and what the last map was made of: nulls where there is none yet.
select s.next_seq, m.seq, m.topic_count, m.scale, m.computed_at, m.artifact_ids, m.artifact_xs, m.artifact_ys
from misir.space s
left join misir.map_layout m on m.space_id = s.id and m.user_id = s.user_id
where s.id = %(space_id)s and s.user_id = %(user_id)s and s.deleted_at is null and s.archived_at is null;

-- name: load_map_topics
-- Everything that has a place, largest first.
select id, centroid, artifact_count, map_x, map_y from misir.subspace
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null and centroid is not null
  and model = %(model)s
order by state = 'retired', artifact_count desc, id
limit %(limit)s;

-- name: load_map_items
-- The newest artifacts of the space, in the order of their ids.
select a.id, a.subspace_id, e.vector
from (
  select id, user_id, subspace_id, content_hash from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null
  order by captured_at desc, id desc limit %(limit)s
) a
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
order by a.id;

-- name: keep_map
-- Unless a map of a later state of the space is there already.
insert into misir.map_layout (space_id, user_id, seq, topic_count, scale, stress, artifact_ids, artifact_xs, artifact_ys,
                              computed_at)
values (%(space_id)s, %(user_id)s, %(seq)s, %(topic_count)s, %(scale)s, %(stress)s, %(artifact_ids)s, %(artifact_xs)s,
        %(artifact_ys)s, %(now)s)
on conflict (space_id) do update set
  seq = excluded.seq, topic_count = excluded.topic_count, scale = excluded.scale, stress = excluded.stress,
  artifact_ids = excluded.artifact_ids, artifact_xs = excluded.artifact_xs, artifact_ys = excluded.artifact_ys,
  computed_at = excluded.computed_at
where misir.map_layout.user_id = excluded.user_id and misir.map_layout.seq <= excluded.seq
returning space_id;

-- name: place_topics
update misir.subspace t set map_x = p.x, map_y = p.y
from unnest(%(topic_ids)s::bigint[], %(xs)s::real[], %(ys)s::real[]) as p (id, x, y)
where t.id = p.id and t.user_id = %(user_id)s and (t.map_x, t.map_y) is distinct from (p.x, p.y);

-- name: place_snapshots
-- The latest picture of each topic, and those that were taken since the last map.
update misir.subspace_snapshot s set map_x = p.x, map_y = p.y
from unnest(%(topic_ids)s::bigint[], %(xs)s::real[], %(ys)s::real[]) as p (id, x, y)
where s.subspace_id = p.id and s.user_id = %(user_id)s and (s.map_x, s.map_y) is distinct from (p.x, p.y)
  and (s.map_x is null or s.day = (
    select max(n.day) from misir.subspace_snapshot n where n.subspace_id = p.id and n.user_id = %(user_id)s));

-- ---- numbers ------------------------------------------------------------------------------------------------------

-- name: keep_numbers
-- The engine's config, or the model's calibration, that this deployment decides by from now on.
insert into misir.system_config (key, value, version) values (%(key)s, %(value)s, %(version)s)
on conflict (key) do update set value = excluded.value, version = excluded.version;
