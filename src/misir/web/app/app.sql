-- What only the pages ask: the menu, and a month of activity as the first page draws it.

-- name: list_menu_spaces
select id, name, color from misir.space
where user_id = %(user_id)s and deleted_at is null and archived_at is null
order by lower(name), id limit 200;

-- name: count_items_by_day
-- Items by the day they were last read, in the reader's time zone, with how many of them were read rather than saved.
select space_id, (captured_at at time zone %(timezone)s)::date as day, count(*) as items,
       count(*) filter (where engagement_level >= 'engaged') as items_read,
       sum(coalesce(active_time_ms, dwell_time_ms))::bigint as read_ms
from misir.artifact
where user_id = %(user_id)s and deleted_at is null and captured_at >= %(since)s::timestamptz
group by space_id, day
order by day, space_id;

-- name: list_topics_of_spaces
-- Names for the topics of a list of items.
select id, name from misir.subspace where user_id = %(user_id)s and id = any(%(topic_ids)s::bigint[]);

-- name: list_titles
-- What to call the items that an event names.
select id, coalesce(title, url) as title from misir.artifact
where user_id = %(user_id)s and id = any(%(artifact_ids)s::bigint[]) and deleted_at is null;

-- name: count_active_insights
-- How often each rule holds now. A snooze that is over counts as active, as it does in the list of insights.
select i.rule, count(*) as insights from misir.insight i
join misir.space s on s.id = i.space_id and s.user_id = i.user_id and s.deleted_at is null
where i.user_id = %(user_id)s and (i.status = 'active' or (i.status = 'snoozed' and i.quiet_until <= now()))
group by i.rule;

-- name: list_failed_jobs
-- Work whose last try failed, the soonest next try first; and what it is for.
select j.id, j.kind, j.attempts, j.last_error, j.run_at, j.cancelled_at is not null as is_cancelled, j.space_id,
       s.name as space_name, j.endpoint_id
from misir.job j
left join misir.space s on s.id = j.space_id and s.user_id = j.user_id
where j.user_id = %(user_id)s and j.last_error is not null
order by j.run_at, j.id limit %(limit)s;

-- name: retry_own_job
-- At once; a version more, so that one that is being done is done again.
update misir.job set run_at = %(now)s, version = version + 1
where id = %(job_id)s and user_id = %(user_id)s and last_error is not null and cancelled_at is null
returning id;

-- name: list_trashed_items
-- The trash, newest first, without what went with its space.
select a.id, coalesce(a.title, a.url) as title, a.deleted_at, s.id as space_id, s.name as space_name, s.color
from misir.artifact a
join misir.space s on s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null
where a.user_id = %(user_id)s and a.deleted_at is not null
order by a.deleted_at desc, a.id desc limit %(limit)s;
