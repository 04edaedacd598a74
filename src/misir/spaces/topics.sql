-- Corrections, and what they do to topics. All of these run under the space's lock (lock_space_for_update).

-- name: load_topics
-- The candidates: every topic of the space that is not retired, with its state.
select id, centroid, weight_sum, signal_count, artifact_count, coherence, learning_rate
from misir.subspace
where user_id = %(user_id)s and space_id = %(space_id)s and state <> 'retired'
order by id;

-- name: topic_is_open
-- Asked before a page is put there: a topic of this space that is not retired.
select 1 from misir.subspace
where id = %(topic_id)s and space_id = %(space_id)s and user_id = %(user_id)s and state <> 'retired';

-- name: log_correction
-- One more entry in the space's log, at the space's next seq.
with taken as (
  update misir.space set next_seq = next_seq + 1 where id = %(space_id)s and user_id = %(user_id)s
  returning next_seq - 1 as seq
)
insert into misir.correction (user_id, space_id, seq, kind, actor, artifact_ids, subspace_ids, payload)
select %(user_id)s, %(space_id)s, taken.seq, %(kind)s, 'user', %(artifact_ids)s, %(subspace_ids)s, %(payload)s from taken
returning id, seq;

-- name: load_topic
select id, space_id, centroid, weight_sum, signal_count, artifact_count, coherence, learning_rate
from misir.subspace where id = %(topic_id)s and user_id = %(user_id)s;

-- name: load_seed_vectors
-- The vectors of the markers the topic began with, as its seed correction names them.
select m.embedding
from misir.correction c
join misir.marker m on m.user_id = c.user_id and m.space_id = c.space_id
  and lower(m.label) in (
    select lower(named.label) from jsonb_array_elements_text(c.payload -> 'markers') as named (label))
where c.user_id = %(user_id)s and c.kind = 'seed' and c.subspace_ids = array[%(topic_id)s::bigint]
order by m.id;

-- name: load_lessons
-- What the topic was taught by the pages that are its own now, in log order. A page moved here by hand counts as
-- if it had always been here, from its first signal on, and always teaches; one that was deleted never was. A page
-- that left with a change of its text is no member any more, but what its old text taught stays taught.
select g.artifact_id, g.engagement_level, e.vector, g.updates_centroid or coalesce(m.teaches, false) as may_teach,
       coalesce(a.subspace_id = %(topic_id)s, false) as is_member
from misir.signal g
join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id
join misir.embedding e on e.id = g.embedding_id and e.user_id = g.user_id
left join lateral (
  select c.id, c.seq, (c.payload ->> 'to')::bigint as topic_id, (c.payload ->> 'teaches')::boolean as teaches
  from misir.correction c
  where c.user_id = g.user_id and c.kind = 'move' and c.artifact_ids @> array[g.artifact_id]
    and (c.space_id <> g.space_id or c.seq > g.seq)
  order by c.id desc limit 1
) m on true
where g.user_id = %(user_id)s and a.deleted_at is null and a.space_id = %(space_id)s
  and case when m.id is null then g.subspace_id else m.topic_id end = %(topic_id)s
order by case when g.space_id = %(space_id)s then g.seq else m.seq end, g.id;

-- name: store_topic
update misir.subspace set
  centroid = %(centroid)s, weight_sum = %(weight_sum)s, signal_count = %(signal_count)s,
  artifact_count = %(artifact_count)s, coherence = %(coherence)s, confidence = %(confidence)s,
  centroid_updated_at = %(now)s
where id = %(topic_id)s and user_id = %(user_id)s;

-- name: store_taught_weights
update misir.artifact a set taught_weight = t.weight
from unnest(%(artifact_ids)s::bigint[], %(weights)s::double precision[]) as t (id, weight)
where a.id = t.id and a.user_id = %(user_id)s;
