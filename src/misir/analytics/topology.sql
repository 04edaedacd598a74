-- The map of a space, as the worker drew it, now and as it was.

-- name: load_layout
-- When the map was drawn, and from which day on there is a history.
select m.computed_at, m.stress, f.first_day
from misir.space s
left join misir.map_layout m on m.space_id = s.id and m.user_id = s.user_id
left join lateral (
  select min(b.day) as first_day
  from misir.subspace t
  cross join lateral (
    select n.day from misir.subspace_snapshot n where n.subspace_id = t.id and n.user_id = t.user_id order by n.day limit 1
  ) b
  where t.space_id = s.id and t.user_id = s.user_id and t.deleted_at is null
) f on true
where s.id = %(space_id)s and s.user_id = %(user_id)s;

-- name: list_nodes
-- The topics of today.
select t.id as subspace_id, t.name, t.artifact_count, t.confidence, t.map_x as x, t.map_y as y,
       coalesce(t.centroid_updated_at, t.created_at) as updated_at, t.last_activity_at as last_active_at
from misir.subspace t
where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null and t.state <> 'retired'
order by t.artifact_count desc, t.id
limit %(limit)s;

-- name: list_frames
-- The topics as they stood at the end of each of the days asked for (in order), a day in a row, its topics as arrays, largest
-- first: by the last day on which each had changed by then. One that has no place of its own then has today's. Each change
-- is read once, and stands until the next: looking up each topic on each day would read eleven times as much.
select frame, array_agg(subspace_id) as subspace_ids, array_agg(name) as names, array_agg(artifact_count) as counts,
       array_agg(confidence) as confidences, array_agg(x) as xs, array_agg(y) as ys, array_agg(changed_on) as changed_on
from (
  select f.day as frame, t.id as subspace_id, t.name, h.artifact_count, h.confidence, coalesce(h.map_x, t.map_x) as x,
         coalesce(h.map_y, t.map_y) as y, h.day as changed_on
  from misir.subspace t
  cross join lateral (
    select c.*, lag(c.day, 1, 'infinity') over (order by c.day desc) as until
    from (
      (select b.day, b.artifact_count, b.confidence, b.map_x, b.map_y from misir.subspace_snapshot b
       where b.subspace_id = t.id and b.user_id = t.user_id and b.day <= (%(days)s::date[])[1]
       order by b.day desc limit 1)
      union all
      select b.day, b.artifact_count, b.confidence, b.map_x, b.map_y from misir.subspace_snapshot b
      where b.subspace_id = t.id and b.user_id = t.user_id
        and b.day > (%(days)s::date[])[1] and b.day <= (%(days)s::date[])[cardinality(%(days)s::date[])]
    ) c
  ) h
  join unnest(%(days)s::date[]) as f (day) on f.day >= h.day and f.day < h.until
  where t.space_id = %(space_id)s and t.user_id = %(user_id)s and t.deleted_at is null
    and (t.state <> 'retired' or h.artifact_count > 0)
  order by f.day, h.artifact_count desc, t.id
  limit %(limit)s
) nodes
group by frame;

-- name: count_recent
-- Distinct artifacts of each topic in the seven days before each of the moments asked for, a moment in a row, its topics as
-- arrays; %(since)s is seven days before the first of them.
select n.place, array_agg(n.subspace_id) as subspace_ids, array_agg(n.count) as counts
from (
  select f.place, a.subspace_id, count(distinct a.id) as count
  from unnest(%(moments)s::timestamptz[]) with ordinality as f (moment, place)
  cross join lateral (
    select w.artifact_id, w.user_id from misir.signal w
    where w.user_id = %(user_id)s and w.occurred_at > f.moment - interval '7 days' and w.occurred_at <= f.moment
    offset 0 -- a range of the index for each moment: joining first would read the whole log
  ) g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
  where a.space_id = %(space_id)s and a.subspace_id is not null and a.captured_at >= %(since)s::timestamptz
  group by f.place, a.subspace_id
) n
group by n.place;

-- name: list_places
-- Single artifacts, as far as they are there still, where the map has them.
select a.id as artifact_id, a.subspace_id, coalesce(a.title, a.url) as title, a.engagement_level, p.x, p.y
from misir.map_layout m
cross join lateral unnest(m.artifact_ids, m.artifact_xs, m.artifact_ys) as p (id, x, y)
join misir.artifact a on a.id = p.id and a.user_id = m.user_id and a.space_id = m.space_id and a.deleted_at is null
where m.space_id = %(space_id)s and m.user_id = %(user_id)s
order by a.id;
