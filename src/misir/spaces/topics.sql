-- Topics as they learn. What writes here runs under the space's lock (lock_space_for_update, lock_spaces_for_update).

-- name: load_topics
-- The candidates: every topic of the space that is not retired, with its state.
select id, name, centroid, weight_sum, signal_count, artifact_count, coherence, placed_count, learning_rate, state,
       pinned, named_by
from misir.subspace
where user_id = %(user_id)s and space_id = %(space_id)s and state <> 'retired'
order by id;

-- name: find_topic
-- Where the topic is, before any lock is taken; a deleted one is nowhere.
select id, space_id, name, state from misir.subspace
where id = %(topic_id)s and user_id = %(user_id)s and deleted_at is null;

-- name: load_topic
select id, space_id, name, state, artifact_count, confidence, learning_rate, pinned
from misir.subspace where id = %(topic_id)s and user_id = %(user_id)s;

-- name: load_seed_vectors
-- The vectors of the markers a person declares for each topic, as the log has it now: those its seed correction names,
-- and what marker corrections added and removed since; the last word on a label counts, and a correction that was
-- undone has none. Markers that the engine extracted are in no correction, so they never seed.
with said as (
  select distinct on (t.id, lower(w.label)) t.id as topic_id, lower(w.label) as label, w.is_wanted, c.space_id
  from misir.subspace t
  join misir.correction c on c.space_id = t.space_id and c.user_id = t.user_id
  cross join lateral (
    select value as label, true as is_wanted from jsonb_array_elements_text(coalesce(c.payload -> 'markers', '[]'))
    union all
    select value, true from jsonb_array_elements_text(coalesce(c.payload -> 'added', '[]'))
    union all
    select value, false from jsonb_array_elements_text(coalesce(c.payload -> 'removed', '[]'))
  ) w
  where t.id = any(%(topic_ids)s::bigint[]) and t.user_id = %(user_id)s
    and c.kind in ('seed', 'marker') and c.subspace_ids = array[t.id]
    and not exists (select 1 from misir.correction u where u.undoes = c.id and u.user_id = c.user_id)
  order by t.id, lower(w.label), c.seq desc
)
select said.topic_id, m.id as marker_id, m.embedding
from said
join misir.marker m on m.user_id = %(user_id)s and m.space_id = said.space_id and lower(m.label) = said.label
where said.is_wanted
order by said.topic_id, m.id;

-- name: load_lessons
-- Every signal that belongs to the topic now, in log order, with its vector. What can belong to it was either
-- decided for it or moved to it, and both can be looked up; the view says which of those still do.
select l.artifact_id, l.base_weight, l.may_teach, l.position, e.vector
from misir.lesson l
join misir.embedding e on e.id = l.embedding_id and e.user_id = l.user_id
where l.user_id = %(user_id)s and l.subspace_id = %(topic_id)s
  and l.artifact_id in (
    select artifact_id from misir.signal where subspace_id = %(topic_id)s and user_id = %(user_id)s
    union select artifact_id from misir.correction_move where to_subspace_id = %(topic_id)s and user_id = %(user_id)s)
order by l.position, l.signal_id;

-- name: list_members
-- The live artifacts of the topic.
select id from misir.artifact where subspace_id = %(topic_id)s and user_id = %(user_id)s and deleted_at is null;

-- name: list_touched
-- The topics that a change to these artifacts concerns: where they are, and where any of their signals belong.
select a.subspace_id from misir.artifact a where a.id = any(%(artifact_ids)s) and a.user_id = %(user_id)s
union
select l.subspace_id from misir.lesson l where l.artifact_id = any(%(artifact_ids)s) and l.user_id = %(user_id)s;

-- name: store_topic
update misir.subspace set
  centroid = %(centroid)s, weight_sum = %(weight_sum)s, signal_count = %(signal_count)s,
  artifact_count = %(artifact_count)s, coherence = %(coherence)s, placed_count = %(placed_count)s,
  confidence = %(confidence)s, model = %(model)s, centroid_updated_at = %(now)s
where id = %(topic_id)s and user_id = %(user_id)s;

-- name: store_shares
-- What each member taught its topic, and since when it counts there. Few of a large topic's have changed: writing a row costs
-- as much as entering it into ten indexes.
update misir.artifact a set taught_weight = s.weight, learned_seq = s.position
from unnest(%(artifact_ids)s::bigint[], %(weights)s::double precision[], %(positions)s::bigint[]) as s (id, weight, position)
where a.id = s.id and a.user_id = %(user_id)s and (a.taught_weight, a.learned_seq) is distinct from (s.weight, s.position);

-- name: upsert_snapshots
-- The topics as they are now, as the picture of the day on which something was read. A late arrival rewrites no
-- past day: what is newer than it stands.
insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence)
select t.id, (%(occurred_at)s::timestamptz at time zone 'UTC')::date, t.user_id, t.model, t.centroid,
       t.artifact_count, t.signal_count, t.confidence
from misir.subspace t
where t.id = any(%(topic_ids)s) and t.user_id = %(user_id)s and t.centroid is not null and t.model is not null
  and not exists (
    select 1 from misir.subspace_snapshot s
    where s.subspace_id = t.id and s.user_id = t.user_id
      and s.day > (%(occurred_at)s::timestamptz at time zone 'UTC')::date)
on conflict (subspace_id, day) do update set
  model = excluded.model, centroid = excluded.centroid, artifact_count = excluded.artifact_count,
  signal_count = excluded.signal_count, confidence = excluded.confidence;

-- name: insert_event
-- A turn in a topic's life; never retracted.
insert into misir.subspace_event (user_id, space_id, subspace_id, type, cause, numbers, occurred_at)
values (%(user_id)s, %(space_id)s, %(topic_id)s, %(type)s, %(cause)s, %(numbers)s, %(occurred_at)s);

-- name: set_topic_state
update misir.subspace set state = %(state)s::misir.subspace_state, deleted_at = %(deleted_at)s
where id = %(topic_id)s and user_id = %(user_id)s;
