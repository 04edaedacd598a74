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
