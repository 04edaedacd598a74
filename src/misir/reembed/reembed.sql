-- The move of a whole deployment to another model, asked as the service role: about every user's rows, by their ids.

-- name: read_models
-- The model the library is of, and the one it is on its way to.
select key, value from misir.system_config where key in ('embedding_model', 'reembedding');

-- name: begin_alone
-- Until the connection ends: two moves at once would undo each other.
select pg_try_advisory_lock(%(key)s) as is_alone;

-- name: keep_model
insert into misir.system_config (key, value) values (%(key)s, %(value)s)
on conflict (key) do update set value = excluded.value;

-- name: forget_models
delete from misir.system_config where key = any(%(keys)s);

-- name: forget_texts
-- What was prepared for another model.
update misir.embedding set next_vector = null, next_fraction = null where next_fraction is not null;

-- name: forget_markers
update misir.marker set next_embedding = null where next_embedding is not null;

-- name: forget_intentions
update misir.space set next_intention = null, next_intention_embedding = null where next_intention is not null;

-- ---- what has to be embedded --------------------------------------------------------------------------------------

-- name: count_work
-- How much there is, and how much of it is done.
select e.texts, e.texts_done, e.without_text, m.markers, m.markers_done, s.intentions, s.intentions_done
from (
  select count(*) as texts, count(e.next_fraction) as texts_done,
         count(*) filter (where concat(a.title, a.content) !~ '\S') as without_text
  from misir.embedding e join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id
) e, (
  select count(*) as markers, count(next_embedding) as markers_done from misir.marker
) m, (
  select count(*) as intentions, count(*) filter (where next_intention = intention) as intentions_done
  from misir.space where intention is not null
) s;

-- name: list_texts
-- Vectors whose text has not been looked at. An older version of a page has no text any more: the page's own is its.
select e.id, a.space_id, a.title, a.content
from misir.embedding e
join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id
where e.next_fraction is null and e.id > %(after_id)s
order by e.id limit %(limit)s;

-- name: list_markers
select id, space_id, label as title, null as content from misir.marker
where next_embedding is null and id > %(after_id)s
order by id limit %(limit)s;

-- name: list_intentions
select id, id as space_id, intention as title, null as content from misir.space
where intention is not null and next_intention is distinct from intention and id > %(after_id)s
order by id limit %(limit)s;

-- name: keep_texts
-- A vector of null: there was nothing to read.
update misir.embedding e set next_vector = n.vector, next_fraction = n.fraction
from unnest(%(ids)s::bigint[], %(vectors)s::halfvec[], %(fractions)s::float8[]) as n (id, vector, fraction)
where e.id = n.id;

-- name: keep_markers
update misir.marker m set next_embedding = n.vector
from unnest(%(ids)s::bigint[], %(vectors)s::halfvec[]) as n (id, vector)
where m.id = n.id;

-- name: keep_intentions
update misir.space s set next_intention_embedding = n.vector, next_intention = n.text
from unnest(%(ids)s::bigint[], %(vectors)s::halfvec[], %(texts)s::text[]) as n (id, vector, text)
where s.id = n.id;

-- ---- the replay on the new vectors --------------------------------------------------------------------------------

-- name: list_spaces
-- Every space, those in the trash too, and a stamp that changes with all that a replay reads: the log's next position,
-- the number of its topics, the last change to one.
select s.id, s.user_id, concat_ws(' ', s.next_seq, count(t.id), max(t.updated_at)) as stamp
from misir.space s
left join misir.subspace t on t.space_id = s.id and t.user_id = s.user_id
group by s.id
order by s.id;

-- name: load_next_seeds
-- The vectors to come of markers.
select id, next_embedding from misir.marker where id = any(%(marker_ids)s) and user_id = %(user_id)s;

-- name: stream_next_lessons
-- As stream_lessons of a replay, with the vectors to come.
select l.artifact_id, l.subspace_id, l.base_weight, l.may_teach, l.position, e.next_vector as vector
from misir.lesson l
join misir.embedding e on e.id = l.embedding_id and e.user_id = l.user_id
where l.user_id = %(user_id)s and l.space_id = %(space_id)s and l.subspace_id is not null and e.next_vector is not null
order by l.position, l.signal_id;

-- ---- the swap -----------------------------------------------------------------------------------------------------

-- name: drop_textless
-- Vectors that nobody can make again. Their pages stay, in their topics, which learn from them no longer.
with gone as (
  delete from misir.embedding where next_vector is null returning artifact_id, user_id
),
shrunk as (
  update misir.space s set embedding_count = s.embedding_count - n.n
  from (
    select a.space_id, count(*) as n from gone join misir.artifact a on a.id = gone.artifact_id group by a.space_id
  ) n
  where s.id = n.space_id
)
update misir.artifact a set taught_weight = 0, similarity = null, raw_margin = null, probability = null, fit = null,
                            embedded_fraction = 0
from gone
where a.id = gone.artifact_id and a.user_id = gone.user_id;

-- name: forget_dropped_intentions
-- An intention that was taken back meanwhile has no vector.
update misir.space set next_intention = null, next_intention_embedding = null
where next_intention is not null and intention is null;

-- name: list_vector_indexes
select c.relname
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_am m on m.oid = c.relam
where c.relnamespace = 'misir'::regnamespace and m.amname in ('hnsw', 'ivfflat') and not c.relispartition;

-- name: keep_topics
-- Every topic as the replay left it. Its id, name, state and size are what they were.
update misir.subspace t set
  model = %(model)s, centroid = n.centroid, weight_sum = n.weight_sum, signal_count = n.signal_count,
  coherence = n.coherence, placed_count = n.placed_count, confidence = n.confidence, centroid_updated_at = %(now)s
from unnest(%(ids)s::bigint[], %(centroids)s::vector[], %(weight_sums)s::float8[], %(signal_counts)s::integer[],
            %(coherences)s::float8[], %(placed_counts)s::integer[], %(confidences)s::float8[])
  as n (id, centroid, weight_sum, signal_count, coherence, placed_count, confidence)
where t.id = n.id;

-- name: mark_seam
-- In the life of every space, and in the history of every topic: from this day on its pictures are of another model.
with told as (
  insert into misir.subspace_event (user_id, space_id, subspace_id, type, cause, numbers, occurred_at)
  select user_id, id, null, 'reembedded', jsonb_build_object('from', %(was)s::text, 'to', %(model)s::text), '{}', %(now)s
  from misir.space where deleted_at is null
)
insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence,
                                     map_x, map_y)
select t.id, (%(now)s::timestamptz at time zone 'UTC')::date, t.user_id, t.model, t.centroid, t.artifact_count,
       t.signal_count, t.confidence, t.map_x, t.map_y
from misir.subspace t
where t.deleted_at is null and t.state <> 'retired' and t.centroid is not null and not exists (
  select 1 from misir.subspace_snapshot s
  where s.subspace_id = t.id and s.user_id = t.user_id and s.day > (%(now)s::timestamptz at time zone 'UTC')::date)
on conflict (subspace_id, day) do update set
  model = excluded.model, centroid = excluded.centroid, artifact_count = excluded.artifact_count,
  signal_count = excluded.signal_count, confidence = excluded.confidence;

-- name: ask_for_maps
-- Every map is out of date, and starts from where things were; the worker looks at each space again.
with stale as (
  update misir.map_layout set seq = 0, computed_at = computed_at - interval '1 day'
)
insert into misir.job (user_id, space_id, kind, run_at)
select user_id, id, 'reflect', %(now)s from misir.space where deleted_at is null and archived_at is null
on conflict on constraint job_once do update set
  version = misir.job.version + 1, run_at = least(misir.job.run_at, excluded.run_at), cancelled_at = null;

-- ---- after it -----------------------------------------------------------------------------------------------------

-- name: list_artifacts
select id from misir.artifact
where space_id = %(space_id)s and user_id = %(user_id)s and deleted_at is null and id > %(after_id)s
order by id limit %(limit)s;

-- name: tell_fractions
-- How much of each text the new model has read.
update misir.artifact a set embedded_fraction = e.fraction
from misir.embedding e
where e.artifact_id = a.id and e.user_id = a.user_id and e.content_hash = a.content_hash and e.model = %(model)s
  and a.id = any(%(artifact_ids)s) and a.user_id = %(user_id)s and a.embedded_fraction <> e.fraction;
