-- Captures that wait for the model (pending.py).

-- name: count_pending
-- How many wait, as far as it matters.
select count(*) as count from (
  select 1 from misir.pending_capture where user_id = %(user_id)s limit %(limit)s) waiting;

-- name: find_pages
-- Under the space's lock: which of these addresses are known, those in the trash too.
select id, url_hash from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and url_hash = any(%(url_hashes)s::bytea[]);

-- name: find_waiting
-- The events of these addresses that wait already.
select a.url_hash, p.event_hash
from misir.pending_capture p
join misir.artifact a on a.id = p.artifact_id and a.user_id = p.user_id
where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.url_hash = any(%(url_hashes)s::bytea[]);

-- name: insert_unplaced
-- New pages, as far as they are known without a vector: they are listed, and found by their words. Their content_hash
-- is of no text, so that the text counts as new when its vector comes.
insert into misir.artifact (
  user_id, space_id, url, normalized_url, url_hash, domain, title, content, content_hash, word_count, content_source,
  engagement_level, dwell_time_ms, active_time_ms, scroll_depth, reading_depth, reading_depth_client, decay_rate,
  embedded_fraction, metadata, captured_at)
select
  %(user_id)s, %(space_id)s, n.url, n.normalized_url, n.url_hash, n.domain, n.title, n.content, n.content_hash,
  n.word_count, n.content_source, n.engagement_level, n.dwell_time_ms, n.active_time_ms, n.scroll_depth,
  n.reading_depth, n.reading_depth_client, n.decay_rate, 0, n.metadata, n.occurred_at
from json_to_recordset(%(artifacts)s) as n (
  url text, normalized_url text, url_hash bytea, domain text, title text, content text, content_hash bytea,
  word_count integer, content_source misir.content_source, engagement_level misir.engagement_level,
  dwell_time_ms bigint, active_time_ms bigint, scroll_depth double precision, reading_depth double precision,
  reading_depth_client double precision, decay_rate misir.decay_rate, metadata jsonb, occurred_at timestamptz)
returning id, url_hash;

-- name: insert_pending
-- In the order they came. The same event sent again while it waits is the one that waits.
insert into misir.pending_capture (user_id, space_id, artifact_id, event_hash, request, received_at)
select %(user_id)s, %(space_id)s, n.artifact_id, n.event_hash, n.request, n.received_at
from json_to_recordset(%(captures)s) as n (
  artifact_id bigint, event_hash bytea, request jsonb, received_at timestamptz)
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
