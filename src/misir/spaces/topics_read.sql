-- Reading one topic, its history and its life. A deleted topic, or one of a deleted space, is nowhere.

-- name: topic_exists
select 1 from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null
where t.id = %(topic_id)s and t.user_id = %(user_id)s and t.deleted_at is null;

-- name: list_topic_events
-- Newest first by (occurred_at, id); %(before_at)s and %(before_id)s are where the last page ended.
select id, type, subspace_id, cause, numbers, occurred_at
from misir.subspace_event
where user_id = %(user_id)s and subspace_id = %(topic_id)s
  and (%(before_at)s::timestamptz is null or (occurred_at, id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
order by occurred_at desc, id desc
limit %(limit)s;

-- name: count_topic_events
select count(*) as count from misir.subspace_event where user_id = %(user_id)s and subspace_id = %(topic_id)s;

-- name: list_space_events
-- As list_topic_events, of all live topics of a space and of those that are no more than an event.
select e.id, e.type, e.subspace_id, e.cause, e.numbers, e.occurred_at
from misir.subspace_event e
left join misir.subspace t on t.id = e.subspace_id and t.user_id = e.user_id
where e.user_id = %(user_id)s and e.space_id = %(space_id)s and t.deleted_at is null
  and (%(before_at)s::timestamptz is null
       or (e.occurred_at, e.id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
order by e.occurred_at desc, e.id desc
limit %(limit)s;

-- name: count_space_events
select count(*) as count
from misir.subspace_event e
left join misir.subspace t on t.id = e.subspace_id and t.user_id = e.user_id
where e.user_id = %(user_id)s and e.space_id = %(space_id)s and t.deleted_at is null;

-- name: list_snapshots
-- Newest first: the days that overlap the asked time, and those before it that say how things stood a week before.
select day, model, centroid, artifact_count, signal_count, confidence
from misir.subspace_snapshot
where user_id = %(user_id)s and subspace_id = %(topic_id)s
  and (%(to_at)s::timestamptz is null or day < (%(to_at)s::timestamptz at time zone 'UTC'))
  and (%(from_day)s::date is null or day >= coalesce((
    select max(b.day) from misir.subspace_snapshot b
    where b.user_id = %(user_id)s and b.subspace_id = %(topic_id)s and b.day <= %(from_day)s::date - %(week)s::integer
  ), %(from_day)s::date - %(week)s::integer))
order by day desc
limit %(limit)s;

-- name: list_topic_drift
-- Newest first, with the page that tipped it and the pages that turned it, as far as they are there still.
select e.id, e.subspace_id, e.magnitude as drift_magnitude, e.raw_drift, e.z, e.notable, e.occurred_at,
       e.trigger_signal_id, a.id as artifact_id, a.title, a.url, coalesce(w.ids, '{}') as turning_artifact_ids
from misir.drift_event e
left join misir.signal g on g.id = e.trigger_signal_id and g.user_id = e.user_id
left join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
left join lateral (
  select array_agg(o.id order by n.place) as ids
  from unnest(e.turning_artifact_ids) with ordinality as n (id, place)
  join misir.artifact o on o.id = n.id and o.user_id = e.user_id and o.deleted_at is null
) w on true
where e.user_id = %(user_id)s and e.subspace_id = %(topic_id)s
  and (%(from_at)s::timestamptz is null or e.occurred_at >= %(from_at)s::timestamptz)
  and (%(to_at)s::timestamptz is null or e.occurred_at < %(to_at)s::timestamptz)
order by e.occurred_at desc, e.id desc
limit %(limit)s;
