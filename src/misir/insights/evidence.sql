-- What the rules look at, of one space (%(space_id)s) or of all; live ones that are not archived. Always this many
-- statements, however many topics there are. Readings are signals of live artifacts, up to %(now)s.

-- name: list_scenes
-- One row per space: how much was read in it lately, and since when at all. n_known is 3 where there are that many.
select s.id, s.name, s.intention, case when s.intention_model = %(model)s then s.intention_embedding end as intention_vector,
       p.n_day, p.n_week, p.n_month, began.occurred_at as first_at, ended.occurred_at as last_at, known.n_known
from misir.space s
cross join lateral (
  select count(distinct g.artifact_id) filter (where g.occurred_at > %(now)s::timestamptz - interval '1 day') as n_day,
         count(distinct g.artifact_id) filter (where g.occurred_at > %(now)s::timestamptz - interval '7 days') as n_week,
         count(distinct g.artifact_id) as n_month
  from misir.signal g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.space_id = s.id and a.deleted_at is null
  where g.space_id = s.id and g.user_id = s.user_id and g.occurred_at <= %(now)s::timestamptz
    and g.occurred_at > %(now)s::timestamptz - interval '30 days'
) p
left join lateral (
  select g.occurred_at from misir.signal g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.space_id = s.id and a.deleted_at is null
  where g.space_id = s.id and g.user_id = s.user_id and g.occurred_at <= %(now)s::timestamptz
  order by g.occurred_at limit 1
) began on true
left join lateral (
  select g.occurred_at from misir.signal g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.space_id = s.id and a.deleted_at is null
  where g.space_id = s.id and g.user_id = s.user_id and g.occurred_at <= %(now)s::timestamptz
  order by g.occurred_at desc limit 1
) ended on true
cross join lateral (
  select count(*) as n_known from (
    select 1 from misir.artifact a
    where a.space_id = s.id and a.user_id = s.user_id and a.deleted_at is null and a.created_at <= %(now)s::timestamptz
    limit 3) first_ones
) known
where s.user_id = %(user_id)s and s.deleted_at is null and s.archived_at is null
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by s.id;

-- name: list_recent_items
-- The items last read in each space, newest first. What was read or placed again after %(now)s counts as it was then.
select s.id as space_id, i.id, i.domain, i.fit, i.is_settled, i.last_at
from misir.space s
cross join lateral (
  select r.id, r.domain, r.fit, r.is_settled, r.last_at from (
    select distinct on (a.id) a.id, a.domain, g.occurred_at as last_at,
           coalesce(case when a.captured_at <= %(now)s::timestamptz then a.fit else g.fit end, 0) as fit,
           coalesce(a.assigned_by = 'user', false) as is_settled
    from (
      select artifact_id, occurred_at, fit from misir.signal
      where space_id = s.id and user_id = s.user_id and occurred_at <= %(now)s::timestamptz
      order by occurred_at desc limit 8 * %(n_items)s
    ) g
    join misir.artifact a on a.id = g.artifact_id and a.user_id = s.user_id and a.space_id = s.id and a.deleted_at is null
    order by a.id, g.occurred_at desc
  ) r
  order by r.last_at desc, r.id desc limit %(n_items)s
) i
where s.user_id = %(user_id)s and s.deleted_at is null and s.archived_at is null
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by s.id, i.last_at desc, i.id desc;

-- name: list_day_counts
-- How many items this person read on each day of the 90 before the last 24 hours, in all spaces, by their own clock.
select (g.occurred_at at time zone coalesce((select timezone from misir.profile where user_id = %(user_id)s), 'UTC'))::date as day,
       count(distinct g.artifact_id) as count
from misir.space s
join misir.signal g on g.space_id = s.id and g.user_id = s.user_id
where s.user_id = %(user_id)s and s.deleted_at is null
  and g.occurred_at > %(now)s::timestamptz - interval '91 days' and g.occurred_at <= %(now)s::timestamptz - interval '1 day'
group by 1
order by 1;

-- name: list_notable_drifts
-- Drifts of the last week that are notable for this person, with the pages that turned the topic most.
select e.id, t.space_id, e.subspace_id, t.name, e.magnitude, e.z, e.occurred_at, w.ids as artifact_ids
from misir.drift_event e
join misir.subspace t on t.id = e.subspace_id and t.user_id = e.user_id and t.deleted_at is null and t.state <> 'retired'
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null and s.archived_at is null
cross join lateral (
  select coalesce(array_agg(o.id order by n.place), '{}') as ids
  from unnest(e.turning_artifact_ids) with ordinality as n (id, place)
  join misir.artifact o on o.id = n.id and o.user_id = e.user_id and o.deleted_at is null
) w
where e.user_id = %(user_id)s and e.notable
  and e.occurred_at > %(now)s::timestamptz - interval '7 days' and e.occurred_at <= %(now)s::timestamptz
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by e.id;

-- name: list_confidence_changes
-- Each topic's confidence now and a week before, from its snapshots, with the pages that came into it since.
select t.id, t.space_id, t.name, now_is.confidence, was.confidence as confidence_before, now_is.artifact_count,
       was.artifact_count as artifact_count_before, was.day as day_before, coalesce(came.ids, '{}') as artifact_ids
from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null and s.archived_at is null
cross join lateral (
  select confidence, artifact_count from misir.subspace_snapshot
  where subspace_id = t.id and user_id = t.user_id and day <= (%(now)s::timestamptz at time zone 'UTC')::date
  order by day desc limit 1
) now_is
cross join lateral (
  select day, confidence, artifact_count from misir.subspace_snapshot
  where subspace_id = t.id and user_id = t.user_id
    and day <= (%(now)s::timestamptz at time zone 'UTC')::date - 7
  order by day desc limit 1
) was
left join lateral (
  select array_agg(n.id order by n.fit, n.id) as ids from (
    select a.id, a.fit from misir.artifact a
    where a.subspace_id = t.id and a.user_id = t.user_id and a.deleted_at is null
      and a.captured_at > %(now)s::timestamptz - interval '7 days' and a.captured_at <= %(now)s::timestamptz
    order by a.fit, a.id limit 20) n
) came on true
where t.user_id = %(user_id)s and t.deleted_at is null and t.state <> 'retired'
  and was.confidence - now_is.confidence > %(drop)s
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by t.id;

-- name: list_never_read
-- Per space: pages that nobody has looked into since they came, longest ago first.
select s.id as space_id, n.count, n.artifact_ids, n.oldest_at
from misir.space s
cross join lateral (
  select count(*) as count, (array_agg(a.id order by a.captured_at, a.id))[1:50] as artifact_ids,
         min(a.captured_at) as oldest_at
  from misir.artifact a
  where a.space_id = s.id and a.user_id = s.user_id and a.deleted_at is null and a.engagement_level = 'latent'
    and a.captured_at <= %(latent_since)s::timestamptz
) n
where s.user_id = %(user_id)s and s.deleted_at is null and s.archived_at is null and n.count > 0
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by s.id;

-- name: list_topics
-- Every topic there is to read in, with its centroid.
select t.id, t.space_id, t.name, t.artifact_count, t.pinned, case when t.model = %(model)s then t.centroid end as centroid
from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null and s.archived_at is null
where t.user_id = %(user_id)s and t.deleted_at is null and t.state <> 'retired'
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by t.space_id, t.id;

-- name: list_mean_readings
-- Per space with an intention: the mean of what was read in the last 30 days, and its newest items with their topics.
select s.id as space_id, r.count, r.mean, r.artifact_ids, r.topic_ids
from misir.space s
cross join lateral (
  select count(*) as count, avg(e.vector::vector) as mean,
         (array_agg(a.id order by a.captured_at desc, a.id desc))[1:50] as artifact_ids,
         (array_agg(a.subspace_id order by a.captured_at desc, a.id desc))[1:50] as topic_ids
  from misir.artifact a
  cross join lateral (
    select v.vector from misir.embedding v
    where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
    limit 1 -- by its key, whatever the planner knows of so new a table
  ) e
  where a.space_id = s.id and a.user_id = s.user_id and a.deleted_at is null
    and a.captured_at > %(now)s::timestamptz - interval '30 days' and a.captured_at <= %(now)s::timestamptz
) r
where s.user_id = %(user_id)s and s.deleted_at is null and s.archived_at is null
  and s.intention_embedding is not null and s.intention_model = %(model)s and r.count > 0
  and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
order by s.id;

-- name: list_members
-- The newest members of the largest topics, with their vectors: what merges and splits are proposed by.
select t.id as topic_id, m.id, m.vector
from (
  select t.id, t.user_id from misir.subspace t
  join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null and s.archived_at is null
  where t.user_id = %(user_id)s and t.deleted_at is null and t.state <> 'retired' and t.artifact_count >= %(min_items)s
    and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
  order by t.artifact_count desc, t.id limit %(n_topics)s
) t
cross join lateral (
  select a.id, e.vector from misir.artifact a
  cross join lateral (
    select v.vector from misir.embedding v
    where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
    limit 1 -- by its key, whatever the planner knows of so new a table
  ) e
  where a.subspace_id = t.id and a.user_id = t.user_id and a.deleted_at is null
  order by a.learned_seq desc, a.id desc limit %(n_members)s
) m
order by t.id, m.id;

-- name: was_consolidated
-- Were the space's placements looked at again in this very round of the worker?
select 1 from misir.space where id = %(space_id)s and user_id = %(user_id)s and consolidated_at = %(now)s;
