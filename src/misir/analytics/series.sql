-- The topics of a space over time. Newest first, so many points of each topic, and a cap on all of them.

-- name: list_drifts
-- With the page that tipped each, and the pages that turned it, as far as they are there still.
select e.id, e.subspace_id, e.subspace_name, e.drift_magnitude, e.raw_drift, e.z, e.notable, e.occurred_at,
       e.trigger_signal_id, a.id as artifact_id, a.title, a.url, coalesce(w.ids, '{}') as turning_artifact_ids
from (
  select d.id, d.subspace_id, d.user_id, t.name as subspace_name, d.magnitude as drift_magnitude, d.raw_drift, d.z, d.notable,
         d.occurred_at, d.trigger_signal_id, d.turning_artifact_ids,
         row_number() over (partition by d.subspace_id order by d.occurred_at desc, d.id desc) as place
  from misir.subspace t
  join misir.drift_event d on d.subspace_id = t.id and d.user_id = t.user_id
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
    and (%(from_at)s::timestamptz is null or d.occurred_at >= %(from_at)s::timestamptz)
    and (%(to_at)s::timestamptz is null or d.occurred_at < %(to_at)s::timestamptz)
    and (%(as_of)s::timestamptz is null or d.occurred_at <= %(as_of)s::timestamptz)
    and d.magnitude >= %(min_magnitude)s::float8
) e
left join misir.signal g on g.id = e.trigger_signal_id and g.user_id = e.user_id
left join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
left join lateral (
  select array_agg(o.id order by n.place) as ids
  from unnest(e.turning_artifact_ids) with ordinality as n (id, place)
  join misir.artifact o on o.id = n.id and o.user_id = e.user_id and o.deleted_at is null
) w on true
where e.place <= %(points)s
order by e.occurred_at desc, e.id desc
limit %(limit)s;

-- name: count_pace
-- Distinct artifacts of each topic, a topic in a row, in those days, weeks or months of the person's own time that have any:
-- by their place, from 1 on; %(starts)s is when each began.
select subspace_id, array_agg(place) as places, array_agg(count) as counts
from (
  select r.subspace_id, r.place, count(*)::integer as count
  from (
    select distinct a.subspace_id, a.id, width_bucket(g.occurred_at, %(starts)s::timestamptz[]) as place
    from misir.signal g
    join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
    where g.user_id = %(user_id)s and a.space_id = %(space_id)s and a.subspace_id is not null
      and a.captured_at >= %(since)s::timestamptz -- its last reading is no earlier than any
      and g.occurred_at >= %(since)s::timestamptz and g.occurred_at <= %(at)s::timestamptz
  ) r
  group by r.subspace_id, r.place
) n
group by subspace_id;

-- name: list_turns
-- How far each topic, a topic in a row, had turned, from where the day, week or month before had left it: the chord
-- between the two directions, null where another model made one of them. The last picture from before `first` is where it
-- begins. Which pictures those are is read from the index; only they are fetched, in their order: sorting them is dear.
-- Of weeks that turns.py has settled no picture is read: `settled` has their chords, from %(first)s on, and the rest begins
-- where they end.
with topics as (
  select t.id, t.user_id, k.before, k.chords,
         case when k.before is null then %(first)s::date else least(k.before, date_trunc('week', %(last)s::date::timestamp)::date)
         end as open_from
  from misir.subspace t
  left join misir.topic_turns k on %(uses_kept)s and k.subspace_id = t.id and k.user_id = t.user_id
    and k.before - 7 * cardinality(k.chords) <= %(first)s::date
    and least(k.before, date_trunc('week', %(last)s::date::timestamp)::date) > %(first)s::date
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
),
lasts as (
  select s.subspace_id, date_trunc(%(granularity)s::text, s.day::timestamp)::date as start, max(s.day) as day
  from topics t
  join misir.subspace_snapshot s on s.subspace_id = t.id and s.user_id = t.user_id
  where s.day >= t.open_from and s.day <= %(last)s::date
  group by 1, 2
  union all
  select t.id, b.day, b.day
  from topics t
  cross join lateral (
    select s.day from misir.subspace_snapshot s
    where s.subspace_id = t.id and s.user_id = t.user_id and s.day < t.open_from
    order by s.day desc limit 1
  ) b
),
seen as (
  select l.subspace_id, l.start, s.model, l2_normalize(s.centroid) as way
  from (select * from lasts order by subspace_id, start) l
  join misir.subspace_snapshot s on s.subspace_id = l.subspace_id and s.day = l.day and s.user_id = %(user_id)s
  order by l.subspace_id, l.start
  offset 0 -- each direction is computed once
)
select n.subspace_id, n.starts, n.chords,
       t.chords[cardinality(t.chords) - (t.before - %(first)s::date) / 7 + 1
                : cardinality(t.chords) - (t.before - t.open_from) / 7] as settled
from (
  select subspace_id, array_agg(start) as starts, array_agg(chord) as chords
  from (
    select subspace_id, start, case when model = lag(model) over w then way <-> lag(way) over w end as chord
    from seen
    window w as (partition by subspace_id order by start)
  ) turns
  group by subspace_id
) n
join topics t on t.id = n.subspace_id;

-- name: list_confidences
-- How each topic stood on the last days on which it changed: a day in a row, newest first, its topics as arrays.
select day, array_agg(subspace_id order by subspace_id) as subspace_ids, array_agg(name order by subspace_id) as names,
       array_agg(confidence order by subspace_id) as confidences, array_agg(artifact_count order by subspace_id) as counts
from (
  select t.id as subspace_id, t.name, c.confidence, c.artifact_count, c.day
  from misir.subspace t
  join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null
  cross join lateral (
    select b.day, b.confidence, b.artifact_count from misir.subspace_snapshot b
    where b.subspace_id = t.id and b.user_id = t.user_id and b.day <= (%(at)s::timestamptz at time zone 'UTC')::date
      and (%(from_at)s::timestamptz is null or b.day >= (%(from_at)s::timestamptz at time zone 'UTC')::date)
    order by b.day desc limit %(points)s
  ) c
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
  order by c.day desc, t.id
  limit %(limit)s
) newest
group by day
order by day desc;
