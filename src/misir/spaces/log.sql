-- The corrections of a space's log. Written under the space's lock, never changed.

-- name: log_correction
-- One more entry in the space's log, at the space's next seq.
with taken as (
  update misir.space set next_seq = next_seq + 1 where id = %(space_id)s and user_id = %(user_id)s
  returning next_seq - 1 as seq
)
insert into misir.correction (user_id, space_id, seq, kind, actor, artifact_ids, subspace_ids, payload, undoes)
select %(user_id)s, %(space_id)s, taken.seq, %(kind)s, %(actor)s, %(artifact_ids)s, %(subspace_ids)s, %(payload)s,
       %(undoes)s
from taken
returning id, seq;

-- name: log_moves
-- Where the correction puts each artifact. `teaches` null: as an earlier correction said, else as each signal did.
insert into misir.correction_move (correction_id, artifact_id, user_id, space_id, seq, from_subspace_id,
                                   to_subspace_id, assigned_by, teaches)
select %(correction_id)s, n.artifact_id, %(user_id)s, %(space_id)s, %(seq)s, n.from_id, n.to_id,
       n.assigned_by::misir.assigned_by,
       coalesce(n.teaches, (
         select v.teaches from misir.correction_move v
         where v.artifact_id = n.artifact_id and v.user_id = %(user_id)s and v.space_id = %(space_id)s
           and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
         order by v.seq desc limit 1))
from unnest(%(artifact_ids)s::bigint[], %(from_ids)s::bigint[], %(to_ids)s::bigint[], %(assigned_bys)s::text[],
            %(teach)s::boolean[]) as n (artifact_id, from_id, to_id, assigned_by, teaches);

-- name: find_correction
-- Before any lock is taken.
select c.id, c.space_id, c.seq, c.kind, c.actor, c.artifact_ids, c.subspace_ids, c.payload, c.created_at,
       exists (select 1 from misir.correction u where u.undoes = c.id and u.user_id = c.user_id) as is_undone
from misir.correction c where c.id = %(correction_id)s and c.user_id = %(user_id)s;

-- name: find_twins
-- The entries one act left in several spaces: a page that moved between two is in the log of both.
select c.id, c.space_id from misir.correction c
where c.user_id = %(user_id)s and c.kind = %(kind)s and c.created_at = %(created_at)s
  and c.artifact_ids = %(artifact_ids)s::bigint[]
order by c.space_id;

-- name: list_moved
-- The artifacts a correction moved.
select v.artifact_id from misir.correction_move v
where v.correction_id = %(correction_id)s and v.user_id = %(user_id)s
order by v.artifact_id;

-- name: load_placements
-- What the log says of each artifact's place in its space.
select artifact_id, subspace_id, assigned_by from misir.placement
where artifact_id = any(%(artifact_ids)s) and user_id = %(user_id)s;

-- name: lock_spaces_for_update
-- The lock of all learning, of several spaces in id order, so that two corrections never wait for each other.
select id, archived_at is not null as is_archived from misir.space
where id = any(%(space_ids)s) and user_id = %(user_id)s and deleted_at is null
order by id
for no key update;

-- name: place_artifacts
-- Where a correction puts them. A topic a person chose holds until a person changes it; the engine's choice does not.
update misir.artifact a set
  subspace_id = p.to_id, assigned_by = p.assigned_by::misir.assigned_by,
  pinned = coalesce(p.assigned_by = 'user', false), taught_weight = 0
from unnest(%(artifact_ids)s::bigint[], %(to_ids)s::bigint[], %(assigned_bys)s::text[]) as p (id, to_id, assigned_by)
where a.id = p.id and a.user_id = %(user_id)s;

-- name: rehouse_artifacts
-- Into another space, and out of the topics of the one they leave.
update misir.artifact set space_id = %(space_id)s, subspace_id = null, learned_seq = %(seq)s
where id = any(%(artifact_ids)s) and user_id = %(user_id)s;

-- name: load_vectors
-- The current vector of each live artifact.
select a.id, a.subspace_id, e.vector
from misir.artifact a
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
where a.id = any(%(artifact_ids)s) and a.user_id = %(user_id)s and a.deleted_at is null
order by a.id;

-- name: store_numbers
-- How well each fits where it is now.
update misir.artifact a set similarity = n.similarity, raw_margin = n.raw_margin, probability = n.probability, fit = n.fit
from unnest(%(artifact_ids)s::bigint[], %(similarities)s::float8[], %(margins)s::float8[], %(probabilities)s::float8[],
            %(fits)s::float8[]) as n (id, similarity, raw_margin, probability, fit)
where a.id = n.id and a.user_id = %(user_id)s;

-- name: has_later_entries
-- Has anything happened to any of the artifacts in the space they were moved to, since they were moved?
select 1 from misir.correction c
where c.id = %(correction_id)s and c.user_id = %(user_id)s
  and (exists (select 1 from misir.signal g
               where g.artifact_id = any(%(artifact_ids)s::bigint[]) and g.user_id = c.user_id and g.space_id = %(space_id)s
                 and g.seq > c.seq)
       or exists (select 1 from misir.correction_move v
                  where v.artifact_id = any(%(artifact_ids)s::bigint[]) and v.user_id = c.user_id
                    and v.correction_id > c.id));

-- name: has_same_page
-- Does the old space hold one of these addresses again?
select 1 from misir.artifact a
join misir.artifact mine on mine.id = any(%(artifact_ids)s::bigint[]) and mine.user_id = a.user_id and mine.url_hash = a.url_hash
where a.user_id = %(user_id)s and a.space_id = %(old_space_id)s and a.id <> mine.id limit 1;

-- name: list_corrections
-- A space's corrections, newest first.
select c.id, c.seq, c.kind, c.actor, c.artifact_ids, c.subspace_ids, c.payload, c.created_at, c.undoes,
       u.id as undone_by,
       (select count(*) from misir.correction_move v where v.correction_id = c.id and v.user_id = c.user_id) as moved_count
from misir.correction c
left join misir.correction u on u.undoes = c.id and u.user_id = c.user_id
where c.user_id = %(user_id)s and c.space_id = %(space_id)s and (%(before_seq)s::bigint is null or c.seq < %(before_seq)s::bigint)
order by c.seq desc
limit %(limit)s;
