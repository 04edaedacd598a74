-- The pool of unassigned pages, and the topics born from it. All of it runs under lock_space_for_update.

-- name: find_nearest_unassigned
-- The two nearest of the newest unassigned pages of the space; what a person took out of all topics is not asked.
select p.id, e.vector
from (
  select id, content_hash from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and subspace_id is null and deleted_at is null
    and assigned_by is null and id <> %(artifact_id)s
  order by learned_seq desc limit %(pool_size)s
) p
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = p.id and v.model = %(model)s and v.content_hash = p.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
order by (e.vector <=> %(vector)s) + 0, p.id
limit 2;

-- name: load_unassigned
-- The pool in log order, founders included.
select a.id, a.title, e.vector
from misir.artifact a
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
where a.user_id = %(user_id)s and (a.id = any(%(founders)s) or a.id in (
  select id from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and subspace_id is null and deleted_at is null
    and assigned_by is null
  order by learned_seq desc limit %(pool_size)s))
order by a.learned_seq, a.id;

-- name: insert_born_topic
-- A topic nobody declared: no markers, no prior, a name of the engine's.
insert into misir.subspace (user_id, space_id, name, named_by, model)
values (%(user_id)s, %(space_id)s, %(name)s, 'engine', %(model)s)
returning id;

-- name: anchor_at_birth
update misir.subspace set anchor_centroid = centroid, anchor_at = %(now)s, anchor_count = signal_count,
                          last_activity_at = %(now)s
where id = %(topic_id)s and user_id = %(user_id)s;

-- name: load_placement
-- Where the page is now, for the answer to its capture.
select subspace_id, assigned_by, raw_margin, coalesce(probability, 0) as probability, coalesce(fit, 0) as fit
from misir.artifact where id = %(artifact_id)s and user_id = %(user_id)s;
