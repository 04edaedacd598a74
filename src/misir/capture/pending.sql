-- Captures that wait for the model (pending.py).

-- name: count_pending
-- How many wait, as far as it matters.
select count(*) as count from (
  select 1 from misir.pending_capture where user_id = %(user_id)s limit %(limit)s) waiting;

-- name: find_page
-- Under the space's lock: the page, if it is known.
select id, deleted_at is not null as is_deleted from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and url_hash = %(url_hash)s;

-- name: insert_unplaced
-- A new page, as far as it is known without a vector: it is listed, and found by its words. Its content_hash is of
-- no text, so that the text counts as new when its vector comes.
insert into misir.artifact (
  user_id, space_id, url, normalized_url, url_hash, domain, title, content, content_hash, word_count, content_source,
  engagement_level, dwell_time_ms, active_time_ms, scroll_depth, reading_depth, reading_depth_client, decay_rate,
  embedded_fraction, metadata, captured_at)
values (
  %(user_id)s, %(space_id)s, %(url)s, %(normalized_url)s, %(url_hash)s, %(domain)s, %(title)s, %(content)s,
  %(content_hash)s, %(word_count)s, %(content_source)s, %(engagement_level)s, %(dwell_time_ms)s, %(active_time_ms)s,
  %(scroll_depth)s, %(reading_depth)s, %(reading_depth_client)s, %(decay_rate)s, 0, %(metadata)s, %(occurred_at)s)
returning id;

-- name: insert_pending
-- The same event sent again while it waits is the one that waits.
insert into misir.pending_capture (user_id, space_id, artifact_id, event_hash, request, received_at)
values (%(user_id)s, %(space_id)s, %(artifact_id)s, %(event_hash)s, %(request)s, %(now)s)
on conflict (artifact_id, event_hash) do nothing;

-- name: list_pending
-- What waits in the space, in the order it came. What was trashed since is left alone.
select p.id, p.request, p.received_at
from misir.pending_capture p
join misir.artifact a on a.id = p.artifact_id and a.user_id = p.user_id
where p.user_id = %(user_id)s and p.space_id = %(space_id)s and p.id > %(after_id)s
  and (a.deleted_at is null or a.deleted_at < p.received_at)
order by p.id limit %(limit)s;

-- name: take_pending
-- In the transaction that gives it its signal: whoever deletes the row is who does it.
delete from misir.pending_capture where id = %(pending_id)s and user_id = %(user_id)s
returning id;

-- name: any_pending
select 1 from misir.pending_capture where user_id = %(user_id)s and space_id = %(space_id)s limit 1;
