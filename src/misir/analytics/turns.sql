-- How topics turned in weeks that are over (turns.py).

-- name: list_unsettled
-- Topics with pictures of weeks that are over, whose turns are not known up to this week.
select t.id
from misir.subspace t
left join misir.topic_turns k on k.subspace_id = t.id and k.user_id = t.user_id
where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
  and (k.before is null or k.before < %(before)s::date)
  and exists (
    select from misir.subspace_snapshot s where s.subspace_id = t.id and s.user_id = t.user_id and s.day < %(before)s::date);

-- name: upsert_turns
insert into misir.topic_turns (subspace_id, user_id, before, chords)
select n.subspace_id, %(user_id)s, %(before)s, array(select value::float8 from json_array_elements_text(n.chords))
from json_to_recordset(%(turns)s) as n (subspace_id bigint, chords json)
on conflict (subspace_id) do update set before = excluded.before, chords = excluded.chords;
