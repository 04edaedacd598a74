-- The decisions of a space, for deciding them again under other numbers.

-- name: load_lives
-- Every topic that is not deleted, and since when it is there: its seed, birth or split; in id order.
select t.id, t.name, t.state, t.centroid, t.learning_rate, coalesce(min(c.seq), 0) as since
from misir.subspace t
left join misir.correction c on c.space_id = t.space_id and c.user_id = t.user_id
  and c.kind in ('seed', 'adopt', 'split') and t.id = any(c.subspace_ids)
where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
group by t.id
order by t.id;

-- name: load_links
select marker_id, subspace_id from misir.subspace_marker where user_id = %(user_id)s and space_id = %(space_id)s;

-- name: stream_decisions
-- Every signal of the space with what was decided, where it belongs, and whether a person put its artifact there.
select l.artifact_id, l.embedding_id, l.base_weight, l.position, l.may_teach, l.subspace_id as home_id, e.vector,
       g.assigned_by, g.client_teaches, g.matched_marker_ids, p.assigned_by as final_by,
       l.subspace_id is not null and exists (
         select 1 from misir.correction b
         where b.user_id = l.user_id and b.space_id = l.space_id and b.kind = 'adopt'
           and b.payload -> 'founders' @> to_jsonb(l.artifact_id)) as is_founder
from misir.lesson l
join misir.signal g on g.id = l.signal_id and g.user_id = l.user_id
join misir.embedding e on e.id = l.embedding_id and e.user_id = l.user_id
join misir.placement p on p.artifact_id = l.artifact_id and p.user_id = l.user_id
where l.user_id = %(user_id)s and l.space_id = %(space_id)s and e.model = %(model)s
  and (l.subspace_id is null or exists (
    select 1 from misir.subspace t where t.id = l.subspace_id and t.user_id = l.user_id and t.deleted_at is null))
order by l.position, l.signal_id;

-- name: list_engines
-- The artifacts whose place is the engine's to decide.
select id, title, subspace_id from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null
  and (assigned_by = 'engine' or (assigned_by is null and subspace_id is null))
order by id;
