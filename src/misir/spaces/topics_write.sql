-- What a person changes about a topic. All of these run in the transaction that locked its space.

-- name: lock_space_of_topic_for_update
-- The lock of all learning in the space that a topic is in (as lock_space_for_update, when only the topic is known).
-- With a space_id, only if the topic is in that one. FOR NO KEY UPDATE, for the reason given there.
select s.id, s.archived_at is not null as is_archived
from misir.space s
join misir.subspace t on t.space_id = s.id and t.user_id = s.user_id
where t.id = %(topic_id)s and s.user_id = %(user_id)s and s.deleted_at is null and t.deleted_at is null
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
for no key update of s;

-- name: load_declared
-- What a person said about the topic, as it is under the lock.
select id, space_id, name, description, pinned from misir.subspace
where id = %(topic_id)s and user_id = %(user_id)s and deleted_at is null;

-- name: find_namesake
-- Another live topic of the space with this name, case aside.
select id from misir.subspace
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null
  and lower(name) = lower(%(name)s) and id is distinct from %(topic_id)s::bigint
limit 1;

-- name: patch_subspace
-- A name that a person gave is theirs: the engine does not change it again.
update misir.subspace set
  name = coalesce(%(name)s, name),
  named_by = case when %(name)s::text is null then named_by else 'user' end,
  description = case when %(has_description)s then %(description)s else description end,
  pinned = coalesce(%(pinned)s, pinned)
where id = %(topic_id)s and user_id = %(user_id)s;

-- name: insert_renamed_event
insert into misir.subspace_event (user_id, space_id, subspace_id, type, cause, occurred_at)
values (%(user_id)s, %(space_id)s, %(topic_id)s, 'renamed', %(cause)s, %(now)s);
