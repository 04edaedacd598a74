-- What a person does with a space as a whole: describes it, archives it, throws it away, gets it back, purges it.

-- name: lock_whole_space_for_update
-- The lock of all learning in the space (as lock_space_for_update), the trash included.
select id, name, intention, archived_at, deleted_at from misir.space
where id = %(space_id)s and user_id = %(user_id)s
for no key update;

-- name: patch_space
update misir.space set
  name = coalesce(%(name)s, name),
  description = case when %(has_description)s then %(description)s else description end,
  intention = case when %(has_intention)s then %(intention)s else intention end,
  intention_embedding = case when %(has_intention)s then %(intention_embedding)s else intention_embedding end,
  intention_model = case when %(has_intention)s then %(intention_model)s else intention_model end,
  auto_subspaces = coalesce(%(auto_subspaces)s, auto_subspaces),
  color = coalesce(%(color)s, color),
  archived_at = case when %(archived)s::boolean is null then archived_at
                     when %(archived)s::boolean then coalesce(archived_at, %(now)s) end
where id = %(space_id)s and user_id = %(user_id)s;

-- name: trash_space
update misir.space set deleted_at = %(now)s where id = %(space_id)s and user_id = %(user_id)s;

-- name: untrash_space
update misir.space set deleted_at = null where id = %(space_id)s and user_id = %(user_id)s;

-- name: purge_space
-- For good: everything in it goes along. What its pages taught in other spaces, after they moved there, stays.
delete from misir.space where id = %(space_id)s and user_id = %(user_id)s;

-- name: list_timeline
-- Oldest first by (created_at, id); %(after_at)s and %(after_id)s are where the last page ended.
select id, title, url, domain, created_at, engagement_level, subspace_id
from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null
  and (%(after_at)s::timestamptz is null or (created_at, id) > (%(after_at)s::timestamptz, %(after_id)s::bigint))
  and (%(updated_since)s::timestamptz is null or updated_at >= %(updated_since)s::timestamptz)
order by created_at, id
limit %(limit)s;

-- name: count_timeline
select count(*) as count from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null
  and (%(updated_since)s::timestamptz is null or updated_at >= %(updated_since)s::timestamptz);
