-- One capture. Read `pipeline.py` first: it tells the story these statements serve.

-- name: find_known
-- Before embedding, without a lock, of each page asked for: is there such a space, and what is known of the page already?
-- Its text travels only where the client left some out; its vector never needs to be made twice.
select asked.n, s.id as space_id, s.archived_at is not null as is_archived,
       a.id as artifact_id, a.title,
       case when asked.needs_content then a.content end as content,
       a.content_hash, a.word_count, a.content_source, e.vector, e.fraction
from unnest(%(space_ids)s::bigint[], %(url_hashes)b::bytea[], %(needs_contents)s::boolean[])
  with ordinality as asked (space_id, url_hash, needs_content, n)
join misir.space s on s.id = asked.space_id and s.user_id = %(user_id)s and s.deleted_at is null
left join misir.artifact a
  on a.user_id = %(user_id)s and a.space_id = asked.space_id and a.url_hash = asked.url_hash
left join lateral (
  select v.vector, v.fraction from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e on true;

-- name: lock_space_for_update
-- The lock of all learning in a space: whoever holds it decides next, and takes the next seq. FOR NO KEY UPDATE,
-- because FOR UPDATE would deadlock with the key locks that inserting rows of this space takes.
select id, archived_at is not null as is_archived, next_seq, auto_subspaces
from misir.space
where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null
for no key update;

-- name: load_artifacts
-- The pages as they are now, under the space's lock, each with the vectors it has already of the texts it is to get; no
-- row for a new one.
select a.url_hash, a.id, a.subspace_id, a.content_hash, a.engagement_level, a.reading_depth, a.assigned_by, a.deleted_at,
       a.taught_weight, a.embedded_fraction, a.raw_margin, a.probability, a.fit, a.duplicate_of,
       e.id as embedding_id, e.content_hash as embedded_hash
from misir.artifact a
left join lateral (
  select v.id, v.content_hash from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s
    and v.content_hash = any(%(content_hashes)b::bytea[])
  offset 0 -- by its key, too
) e on true
where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.url_hash = any(%(url_hashes)b::bytea[]);

-- name: reserve_ids
-- Ids are taken before the rows are written, so that all the writes can travel together.
select nextval(pg_get_serial_sequence('misir.artifact', 'id')) as artifact_id,
       nextval(pg_get_serial_sequence('misir.embedding', 'id')) as embedding_id,
       nextval(pg_get_serial_sequence('misir.signal', 'id')) as signal_id
from generate_series(1, %(n)s);

-- name: find_same_events
-- The signals that these very events made before: with the client's own time at any age, without one within 24 hours.
select asked.n, same.id
from unnest(%(url_hashes)b::bytea[], %(event_hashes)b::bytea[], %(own_times)s::boolean[])
  with ordinality as asked (url_hash, event_hash, has_own_time, n)
cross join lateral (
  select g.id
  from misir.artifact a
  join misir.signal g on g.user_id = %(user_id)s and g.artifact_id = a.id
  where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.url_hash = asked.url_hash
    and g.event_hash = asked.event_hash
    and (asked.has_own_time or g.created_at > %(now)s::timestamptz - interval '24 hours')
  order by g.seq
  limit 1
) same;

-- name: load_markers
-- Each marker of each topic.
select m.id, l.subspace_id as topic_id, m.label
from misir.marker m
join misir.subspace_marker l on l.marker_id = m.id and l.user_id = m.user_id
where m.user_id = %(user_id)s and m.space_id = %(space_id)s
order by m.id, l.subspace_id;

-- name: find_near_markers
-- The markers that mean what a page means, for each of the pages' vectors.
select asked.n, m.id
from misir.marker m
cross join unnest(%(vectors)b::halfvec[]) with ordinality as asked (vector, n)
where m.user_id = %(user_id)s and m.space_id = %(space_id)s
  and 1 - (m.embedding <=> asked.vector) >= %(novelty)s;

-- name: find_near_duplicates
-- For each page, the oldest live page of this space under another address whose text is all but the same: looked up by
-- the quarters of its simhash, of which near-identical texts share at least one, and judged by meaning.
select asked.n, near.id
from unnest(%(url_hashes)b::bytea[], %(band_1s)s::integer[], %(band_2s)s::integer[], %(band_3s)s::integer[],
            %(band_4s)s::integer[], %(vectors)b::halfvec[])
  with ordinality as asked (url_hash, band_1, band_2, band_3, band_4, vector, n)
cross join lateral (
  select a.id
  from (
    select id from misir.artifact
    where user_id = %(user_id)s and space_id = %(space_id)s and band_1 = asked.band_1 and duplicate_of is null
    union select id from misir.artifact
    where user_id = %(user_id)s and space_id = %(space_id)s and band_2 = asked.band_2 and duplicate_of is null
    union select id from misir.artifact
    where user_id = %(user_id)s and space_id = %(space_id)s and band_3 = asked.band_3 and duplicate_of is null
    union select id from misir.artifact
    where user_id = %(user_id)s and space_id = %(space_id)s and band_4 = asked.band_4 and duplicate_of is null
  ) alike
  join misir.artifact a on a.id = alike.id and a.user_id = %(user_id)s
  cross join lateral (
    select v.vector from misir.embedding v
    where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
    limit 1 -- by its key, whatever the planner knows of so new a table
  ) e
  where a.deleted_at is null and a.url_hash <> asked.url_hash
    and (e.vector <=> asked.vector) < %(max_distance)s
  order by a.id
  limit 1
) near;

-- name: load_pool
-- The vectors of the newest unassigned pages of the space; what a person took out of all topics is not among them.
select e.vector
from (
  select id, content_hash from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and subspace_id is null and deleted_at is null
    and assigned_by is null
  order by learned_seq desc limit %(pool_size)s
) p
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = p.id and v.model = %(model)s and v.content_hash = p.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e;

-- name: list_sessions
select id from misir.session where id = any(%(session_ids)s::bigint[]) and user_id = %(user_id)s;

-- name: list_named_topics
-- The topics that clients name, and where they are; a deleted one is nowhere.
select id, space_id, state from misir.subspace
where id = any(%(topic_ids)s::bigint[]) and user_id = %(user_id)s and deleted_at is null;

-- name: insert_artifacts
-- Rows travel as one JSON text, as deep and as long as they are: forty arrays would cost more to send.
insert into misir.artifact (
  id, user_id, space_id, subspace_id, url, normalized_url, url_hash, domain, title, content, content_hash, word_count,
  content_source, engagement_level, dwell_time_ms, active_time_ms, scroll_depth, reading_depth, reading_depth_client,
  decay_rate, assigned_by, similarity, raw_margin, probability, fit, taught_weight, embedded_fraction, duplicate_of,
  metadata, captured_at, learned_seq, band_1, band_2, band_3, band_4)
overriding system value
select
  n.id, %(user_id)s, %(space_id)s, n.subspace_id, n.url, n.normalized_url, n.url_hash, n.domain, n.title, n.content,
  n.content_hash, n.word_count, n.content_source, n.engagement_level, n.dwell_time_ms, n.active_time_ms,
  n.scroll_depth, n.reading_depth, n.reading_depth_client, n.decay_rate, n.assigned_by, n.similarity, n.raw_margin,
  n.probability, n.fit, n.taught_weight, n.embedded_fraction, n.duplicate_of, n.metadata, n.captured_at, n.learned_seq,
  n.band_1, n.band_2, n.band_3, n.band_4
from json_to_recordset(%(artifacts)s) as n (
  id bigint, subspace_id bigint, url text, normalized_url text, url_hash bytea, domain text, title text, content text,
  content_hash bytea, word_count integer, content_source misir.content_source, engagement_level misir.engagement_level,
  dwell_time_ms bigint, active_time_ms bigint, scroll_depth double precision, reading_depth double precision,
  reading_depth_client double precision, decay_rate misir.decay_rate, assigned_by misir.assigned_by,
  similarity double precision, raw_margin double precision, probability double precision, fit double precision,
  taught_weight double precision, embedded_fraction double precision, duplicate_of bigint, metadata jsonb,
  captured_at timestamptz, learned_seq bigint, band_1 integer, band_2 integer, band_3 integer, band_4 integer);

-- name: update_artifacts
-- Known pages: what was read deeper, longer or further rises; a missing title or text changes nothing.
update misir.artifact a set
  subspace_id = n.subspace_id, title = coalesce(n.title, a.title), content = coalesce(n.content, a.content),
  content_hash = n.content_hash, word_count = n.word_count, content_source = n.content_source,
  engagement_level = greatest(a.engagement_level, n.engagement_level),
  dwell_time_ms = greatest(a.dwell_time_ms, n.dwell_time_ms),
  active_time_ms = greatest(a.active_time_ms, n.active_time_ms),
  scroll_depth = greatest(a.scroll_depth, n.scroll_depth),
  reading_depth = greatest(a.reading_depth, n.reading_depth),
  reading_depth_client = greatest(a.reading_depth_client, n.reading_depth_client),
  decay_rate = n.decay_rate, assigned_by = n.assigned_by, similarity = n.similarity, raw_margin = n.raw_margin,
  probability = n.probability, fit = n.fit, taught_weight = n.taught_weight, embedded_fraction = n.embedded_fraction,
  duplicate_of = n.duplicate_of, metadata = a.metadata || n.metadata,
  captured_at = greatest(a.captured_at, n.captured_at),
  first_read_at = least(coalesce(a.first_read_at, a.captured_at), n.captured_at), deleted_at = null,
  learned_seq = coalesce(n.learned_seq, a.learned_seq),
  band_1 = coalesce(n.band_1, a.band_1), band_2 = coalesce(n.band_2, a.band_2),
  band_3 = coalesce(n.band_3, a.band_3), band_4 = coalesce(n.band_4, a.band_4)
from json_to_recordset(%(artifacts)s) as n (
  id bigint, subspace_id bigint, title text, content text, content_hash bytea, word_count integer,
  content_source misir.content_source, engagement_level misir.engagement_level, dwell_time_ms bigint,
  active_time_ms bigint, scroll_depth double precision, reading_depth double precision,
  reading_depth_client double precision, decay_rate misir.decay_rate, assigned_by misir.assigned_by,
  similarity double precision, raw_margin double precision, probability double precision, fit double precision,
  taught_weight double precision, embedded_fraction double precision, duplicate_of bigint, metadata jsonb,
  captured_at timestamptz, learned_seq bigint, band_1 integer, band_2 integer, band_3 integer, band_4 integer)
where a.id = n.id and a.user_id = %(user_id)s;

-- name: insert_embeddings
insert into misir.embedding (id, user_id, artifact_id, model, content_hash, vector, fraction)
overriding system value
select n.id, %(user_id)s, n.artifact_id, %(model)s, n.content_hash, n.vector, n.fraction
from rows from (
  json_to_recordset(%(embeddings)s) as (id bigint, artifact_id bigint, content_hash bytea, fraction double precision),
  unnest(%(vectors)b::halfvec[])
) as n (id, artifact_id, content_hash, fraction, vector);

-- name: insert_embedding
-- Of a text that a person edited.
insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction)
values (%(user_id)s, %(artifact_id)s, %(model)s, %(content_hash)s, %(vector)s, %(embedded_fraction)s)
on conflict (user_id, artifact_id, model, content_hash) do nothing;

-- name: insert_signals
-- More entries in the space's log; their places in it were taken under lock_space_for_update.
insert into misir.signal (
  id, user_id, space_id, artifact_id, subspace_id, embedding_id, session_id, seq, event_hash, payload_hash, type,
  magnitude, engagement_level, base_weight, taught_weight, updates_centroid, similarity, raw_margin, probability, fit,
  assigned_by, matched_marker_ids, config_version, occurred_at, client_teaches, none_probability, candidates,
  candidate_count, withheld, dwell_time_ms, active_time_ms)
overriding system value
select
  n.id, %(user_id)s, %(space_id)s, n.artifact_id, n.subspace_id, n.embedding_id, n.session_id, n.seq, n.event_hash,
  n.payload_hash, n.signal_type, n.signal_magnitude, n.engagement_level, n.base_weight, n.taught_weight,
  n.updates_centroid, n.similarity, n.raw_margin, n.probability, n.fit, n.assigned_by, n.matched_marker_ids,
  %(config_version)s, n.occurred_at, n.client_teaches, n.none_probability, n.candidates, n.candidate_count, n.withheld,
  nullif(n.dwell_time_ms, 0), n.active_time_ms
from json_to_recordset(%(signals)s) as n (
  id bigint, artifact_id bigint, subspace_id bigint, embedding_id bigint, session_id bigint, seq bigint,
  event_hash bytea, payload_hash bytea, signal_type misir.signal_type, signal_magnitude double precision,
  engagement_level misir.engagement_level, base_weight double precision, taught_weight double precision,
  updates_centroid boolean, similarity double precision, raw_margin double precision, probability double precision,
  fit double precision, assigned_by misir.assigned_by, matched_marker_ids bigint[], occurred_at timestamptz,
  client_teaches boolean, none_probability double precision, candidates jsonb, candidate_count integer,
  withheld text[], dwell_time_ms bigint, active_time_ms bigint);

-- name: take_places
-- The log's next place, after those that were taken under lock_space_for_update; and how many vectors there are, about:
-- search chooses by it between exact scan and index.
update misir.space set next_seq = %(next_seq)s, embedding_count = embedding_count + %(n_embeddings)s
where id = %(space_id)s and user_id = %(user_id)s;

-- name: update_topics
update misir.subspace t set
  centroid = n.centroid, weight_sum = n.weight_sum, signal_count = n.signal_count,
  artifact_count = n.artifact_count, coherence = n.coherence, placed_count = n.placed_count,
  confidence = n.confidence, model = %(model)s, state = 'active',
  centroid_updated_at = case when n.is_taught then %(now)s else t.centroid_updated_at end,
  last_activity_at = greatest(t.last_activity_at, n.occurred_at)
from rows from (
  json_to_recordset(%(topics)s) as (
    topic_id bigint, weight_sum double precision, signal_count integer, artifact_count integer,
    coherence double precision, placed_count integer, confidence double precision, is_taught boolean,
    occurred_at timestamptz),
  unnest(%(centroids)b::vector[])
) as n (topic_id, weight_sum, signal_count, artifact_count, coherence, placed_count, confidence, is_taught, occurred_at,
        centroid)
where t.id = n.topic_id and t.user_id = %(user_id)s;

-- name: insert_snapshots
-- Topics as they were at the end of each day of the chunk. A late arrival rewrites no past day: what is newer stands.
insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count, confidence)
select n.topic_id, n.day, %(user_id)s, %(model)s, n.centroid, n.artifact_count, n.signal_count, n.confidence
from rows from (
  json_to_recordset(%(snapshots)s) as (
    topic_id bigint, day date, artifact_count integer, signal_count integer, confidence double precision),
  unnest(%(centroids)b::vector[])
) as n (topic_id, day, artifact_count, signal_count, confidence, centroid)
where not exists (
  select 1 from misir.subspace_snapshot s
  where s.subspace_id = n.topic_id and s.user_id = %(user_id)s and s.day > n.day)
on conflict (subspace_id, day) do update set
  model = excluded.model, centroid = excluded.centroid, artifact_count = excluded.artifact_count,
  signal_count = excluded.signal_count, confidence = excluded.confidence;

-- name: insert_returns
-- Topics that slept and are read again: events of their lives.
insert into misir.subspace_event (user_id, space_id, subspace_id, type, cause, numbers, occurred_at)
select %(user_id)s, %(space_id)s, n.topic_id, 'returned', n.cause, n.numbers, n.occurred_at
from json_to_recordset(%(returns)s) as n (topic_id bigint, cause jsonb, numbers jsonb, occurred_at timestamptz);

-- name: leave_topic
-- A page that changed its text may change its topic: the one it left has an artifact less.
update misir.subspace set
  artifact_count = greatest(artifact_count - 1, 0),
  confidence = coherence * greatest(artifact_count - 1, 0)
               / (greatest(artifact_count - 1, 0) + %(prior_count)s::double precision)
where id = %(topic_id)s and user_id = %(user_id)s;

-- name: has_older_lessons
-- Was this page in the topic before, so that what it taught there counts?
select 1 from misir.lesson
where artifact_id = %(artifact_id)s and user_id = %(user_id)s and subspace_id = %(topic_id)s and position < %(seq)s
limit 1;

-- name: touch_markers
update misir.subspace_marker l set last_matched_at = greatest(l.last_matched_at, n.occurred_at)
from unnest(%(marker_ids)s::bigint[], %(occurred_ats)s::timestamptz[]) as n (marker_id, occurred_at)
where l.user_id = %(user_id)s and l.space_id = %(space_id)s and l.marker_id = n.marker_id;

-- name: list_latest
select id, space_id, url, title, captured_at from misir.artifact a
where user_id = %(user_id)s and deleted_at is null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
order by captured_at desc, id desc limit 5;
