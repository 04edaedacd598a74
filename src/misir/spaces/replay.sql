-- The whole log of a space, read again. All of it runs under lock_spaces_for_update.

-- name: list_space_ids
select id from misir.space where user_id = %(user_id)s and deleted_at is null and archived_at is null order by id;

-- name: count_lessons
-- Null where there is no such space.
select (select count(*) from misir.lesson l where l.space_id = s.id and l.user_id = s.user_id) as count
from misir.space s where s.id = %(space_id)s and s.user_id = %(user_id)s and s.deleted_at is null;

-- name: load_all_topics
-- Retired and deleted ones too: the log goes through them.
select id, name, centroid, weight_sum, signal_count, artifact_count, coherence, placed_count, confidence, learning_rate
from misir.subspace where space_id = %(space_id)s and user_id = %(user_id)s order by id;

-- name: stream_lessons
-- Everything that was ever learned in the space, in log order.
select l.artifact_id, l.subspace_id, l.base_weight, l.may_teach, l.position, e.vector
from misir.lesson l
join misir.embedding e on e.id = l.embedding_id and e.user_id = l.user_id
where l.user_id = %(user_id)s and l.space_id = %(space_id)s and l.subspace_id is not null
order by l.position, l.signal_id;

-- name: stream_places
-- Where each live artifact is and what it taught there, and where the log says that it is.
select a.id, a.subspace_id as stored_id, a.taught_weight, p.subspace_id
from misir.artifact a
join misir.placement p on p.artifact_id = a.id and p.user_id = a.user_id
where a.space_id = %(space_id)s and a.user_id = %(user_id)s and a.deleted_at is null
order by a.id;

-- name: restore_places
-- Puts each live artifact where the log says; what it taught there is written after.
update misir.artifact a set subspace_id = p.subspace_id, taught_weight = 0
from misir.placement p
where p.artifact_id = a.id and p.user_id = a.user_id and a.space_id = %(space_id)s and a.user_id = %(user_id)s
  and a.deleted_at is null;
