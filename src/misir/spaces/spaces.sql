-- Spaces and the topics declared in them. Every statement names its user; row level security stands behind it.

-- name: list_spaces
-- One row per space with its figures, oldest first. velocity is distinct artifacts in the last 7 days. Archived and
-- deleted spaces are lists of their own; the trash holds both.
select s.id, s.user_id, s.name, s.description, s.intention, s.auto_subspaces, s.color,
       s.archived_at is not null as archived, s.deleted_at, s.created_at, s.updated_at,
       a.artifact_count, a.avg_fit, a.velocity, a.last_activity_at,
       t.subspace_count, t.confidence, d.recent_drift
from misir.space s
cross join lateral (
  select count(*) as artifact_count, avg(fit) as avg_fit,
         count(*) filter (where captured_at > %(now)s::timestamptz - interval '7 days') as velocity,
         max(captured_at) as last_activity_at
  from misir.artifact where space_id = s.id and user_id = s.user_id and deleted_at is null
) a
cross join lateral (
  select count(*) as subspace_count,
         sum(confidence * artifact_count) filter (where artifact_count >= %(min_artifacts)s)
           / nullif(sum(artifact_count) filter (where artifact_count >= %(min_artifacts)s), 0) as confidence
  from misir.subspace
  where space_id = s.id and user_id = s.user_id and state <> 'retired' and deleted_at is null
) t
cross join lateral (
  select max(e.magnitude) as recent_drift
  from misir.drift_event e join misir.subspace b on b.id = e.subspace_id and b.user_id = e.user_id
  where b.space_id = s.id and e.user_id = s.user_id and b.deleted_at is null
    and e.occurred_at > %(now)s::timestamptz - interval '7 days'
) d
where s.user_id = %(user_id)s and (s.deleted_at is not null) = %(deleted)s
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
  and (%(space_id)s::bigint is not null or %(deleted)s or (s.archived_at is not null) = %(archived)s)
  and s.id > %(after_id)s
  and (%(updated_since)s::timestamptz is null or s.updated_at >= %(updated_since)s::timestamptz)
order by s.id
limit %(limit)s;

-- name: count_spaces
select count(*) as count from misir.space
where user_id = %(user_id)s and (deleted_at is not null) = %(deleted)s
  and (%(deleted)s or (archived_at is not null) = %(archived)s);

-- name: insert_space
insert into misir.space (user_id, name, description, intention, intention_embedding, intention_model,
                         auto_subspaces, color)
values (%(user_id)s, %(name)s, %(description)s, %(intention)s, %(intention_embedding)s, %(model)s,
        %(auto_subspaces)s, %(color)s)
returning id;

-- name: insert_subspace
-- A declared topic: its state is the prior its markers make (engine.md §3).
insert into misir.subspace (user_id, space_id, name, description, model, centroid, weight_sum, anchor_centroid,
                            anchor_at, depth, prerequisites, suggested_study_order, centroid_updated_at)
values (%(user_id)s, %(space_id)s, %(name)s, %(description)s, %(model)s, %(centroid)s, %(weight_sum)s, %(centroid)s,
        %(now)s, %(depth)s, %(prerequisites)s, %(suggested_study_order)s, %(now)s)
returning id;

-- name: upsert_markers
-- A label means one marker per space; two topics that share it are linked to the same one. What comes back is the id
-- by the label as it was given: the marker may be spelt otherwise.
with given as (
  select * from unnest(%(labels)s::text[], %(embeddings)s::halfvec[]) as m (label, embedding)
),
made as (
  insert into misir.marker (user_id, space_id, label, model, embedding)
  select %(user_id)s, %(space_id)s, label, %(model)s, embedding from given
  on conflict (user_id, space_id, lower(label)) do nothing
  returning id, label
)
select m.id, g.label from made m join given g on lower(m.label) = lower(g.label)
union
select m.id, g.label from misir.marker m join given g on lower(m.label) = lower(g.label)
where m.user_id = %(user_id)s and m.space_id = %(space_id)s;

-- name: link_markers
insert into misir.subspace_marker (subspace_id, marker_id, space_id, user_id, source)
select l.subspace_id, l.marker_id, %(space_id)s, %(user_id)s, l.source::misir.marker_source
from unnest(%(subspace_ids)s::bigint[], %(marker_ids)s::bigint[], %(sources)s::text[]) as l (subspace_id, marker_id, source)
on conflict do nothing;

-- name: insert_seed_corrections
-- The log of the space begins with the seeds of its declared topics, in the order they were named.
insert into misir.correction (user_id, space_id, seq, kind, actor, subspace_ids, payload)
select %(user_id)s, %(space_id)s, n.seq, 'seed', 'user', array[n.subspace_id], n.payload
from unnest(%(seqs)s::bigint[], %(subspace_ids)s::bigint[], %(payloads)s::jsonb[]) as n (seq, subspace_id, payload);

-- name: advance_seq
-- Locks the space's row (it is ours: this transaction made or locked it) and moves its sequence on.
update misir.space set next_seq = next_seq + %(n_taken)s where id = %(space_id)s and user_id = %(user_id)s;

-- name: list_subspaces
-- The topics of a space, largest first, or the one topic %(topic_id)s, with or without its space.
select t.id, t.space_id, t.user_id, t.name, t.description, t.artifact_count, t.confidence,
       t.learning_rate, t.state, t.pinned, t.centroid_updated_at, t.last_activity_at, t.created_at, t.updated_at,
       coalesce(m.labels, '{}') as markers,
       case when %(with_centroid)s then t.centroid end as centroid
from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null
left join lateral (
  select array_agg(k.label order by k.id) as labels
  from misir.subspace_marker l join misir.marker k on k.id = l.marker_id and k.user_id = l.user_id
  where l.subspace_id = t.id and l.user_id = t.user_id
) m on true
where t.user_id = %(user_id)s and t.deleted_at is null
  and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint)
  and (%(topic_id)s::bigint is null or t.id = %(topic_id)s::bigint)
order by t.artifact_count desc, t.id
limit %(limit)s;

-- name: space_exists
select 1 from misir.space where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null;
