-- The markers of one topic: read, added, taken away.

-- name: list_topic_markers
-- In the order in which they were first named. A marker that never matched is as fresh as its link.
select k.id, k.label, l.source, l.last_matched_at, coalesce(l.last_matched_at, l.created_at) as fresh_at
from misir.subspace_marker l
join misir.marker k on k.id = l.marker_id and k.user_id = l.user_id
where l.subspace_id = %(topic_id)s and l.user_id = %(user_id)s
order by k.id;

-- name: find_topic_and_marker
-- Before embedding, without a lock: is there such a topic, and is the phrase's vector known in its space already?
select t.id, m.embedding
from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null
left join misir.marker m
  on m.user_id = t.user_id and m.space_id = t.space_id and lower(m.label) = lower(%(label)s) and m.model = %(model)s
where t.id = %(topic_id)s and t.user_id = %(user_id)s and t.deleted_at is null;

-- name: weigh_new_marker
-- Under the space's lock: how many markers the topic has, and whether this phrase is one of them.
select count(*) as n_markers, max(k.id) filter (where lower(k.label) = lower(%(label)s)) as marker_id,
       max(l.source) filter (where lower(k.label) = lower(%(label)s)) as source
from misir.subspace_marker l
join misir.marker k on k.id = l.marker_id and k.user_id = l.user_id
where l.subspace_id = %(topic_id)s and l.user_id = %(user_id)s;

-- name: declare_marker
-- A marker the engine found or proposed becomes one a person stands behind.
update misir.subspace_marker set source = %(source)s
where subspace_id = %(topic_id)s and marker_id = %(marker_id)s and user_id = %(user_id)s;

-- name: unlink_marker
-- The marker itself stays: other topics and old decisions name it.
with gone as (
  delete from misir.subspace_marker
  where subspace_id = %(topic_id)s and marker_id = %(marker_id)s and user_id = %(user_id)s
  returning marker_id
)
select k.label from gone join misir.marker k on k.id = gone.marker_id and k.user_id = %(user_id)s;
