-- Merging, splitting and retiring topics. All of it runs under lock_spaces_for_update.

-- name: list_all_members
-- In log order, the trash included.
select id, title, assigned_by, deleted_at is not null as is_deleted from misir.artifact
where subspace_id = %(topic_id)s and user_id = %(user_id)s
order by learned_seq, id;

-- name: load_member_vectors
-- In log order, without the trash.
select a.id, e.vector
from misir.artifact a
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
where a.subspace_id = %(topic_id)s and a.user_id = %(user_id)s and a.deleted_at is null
order by a.learned_seq, a.id;

-- name: list_space_topics
-- Every topic of the space: what is rebuilt under its lock.
select id from misir.subspace where space_id = %(space_id)s and user_id = %(user_id)s;

-- name: list_names
-- The names that are taken in the topic's space.
select t.name from misir.subspace t
join misir.subspace mine on mine.space_id = t.space_id and mine.user_id = t.user_id
where mine.id = %(topic_id)s and t.user_id = %(user_id)s and t.deleted_at is null;

-- name: insert_split_topic
-- A topic beside the one it comes from, with its learning rate.
insert into misir.subspace (user_id, space_id, name, named_by, model, learning_rate, last_activity_at)
select user_id, space_id, %(name)s, %(named_by)s, model, learning_rate, %(now)s
from misir.subspace where id = %(topic_id)s and user_id = %(user_id)s
returning id;

-- name: copy_markers
-- The merged topic's markers describe the survivor too; those it had already are not named.
insert into misir.subspace_marker (subspace_id, marker_id, space_id, user_id, weight, source, last_matched_at)
select %(into_id)s, marker_id, space_id, user_id, weight, 'extracted', last_matched_at
from misir.subspace_marker where subspace_id = %(topic_id)s and user_id = %(user_id)s
on conflict do nothing
returning marker_id;

-- name: unlink_markers
delete from misir.subspace_marker
where subspace_id = %(topic_id)s and marker_id = any(%(marker_ids)s) and user_id = %(user_id)s;
