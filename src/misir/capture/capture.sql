-- One capture. Read `pipeline.py` first: it tells the story these statements serve.

-- name: find_known
-- Before embedding, without a lock: is there such a space, and what is known of this page already?
-- Its text travels only where the client left some out; its vector never needs to be made twice.
select s.id as space_id, s.archived_at is not null as is_archived,
       a.id as artifact_id, a.title,
       case when %(needs_content)s then a.content end as content,
       a.content_hash, a.word_count, a.content_source, e.vector, e.fraction
from misir.space s
left join misir.artifact a
  on a.user_id = s.user_id and a.space_id = s.id and a.url_hash = %(url_hash)s
left join misir.embedding e
  on e.artifact_id = a.id and e.user_id = a.user_id and e.content_hash = a.content_hash and e.model = %(model)s
where s.id = %(space_id)s and s.user_id = %(user_id)s and s.deleted_at is null;

-- name: lock_space_for_update
-- The lock of all learning in a space: whoever holds it decides next, and takes the next seq. FOR NO KEY UPDATE,
-- because FOR UPDATE would deadlock with the key locks that inserting rows of this space takes.
select id, archived_at is not null as is_archived, next_seq, auto_subspaces
from misir.space
where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null
for no key update;

-- name: load_artifact
-- The page as it is now, under the space's lock; no row when it is new.
select id, subspace_id, content_hash,
       engagement_level, reading_depth, assigned_by, deleted_at, taught_weight, embedded_fraction, raw_margin, probability, fit, duplicate_of
from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and url_hash = %(url_hash)s;

-- name: reserve_artifact_id
-- Ids are taken before the rows are written, so that all the writes can travel together.
select nextval(pg_get_serial_sequence('misir.artifact', 'id')) as id;

-- name: find_same_event
-- The signal this very event made before: with the client's own time at any age, without one within 24 hours.
select g.id, g.created_at
from misir.signal g
join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id
where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.url_hash = %(url_hash)s
  and g.event_hash = %(event_hash)s
  and (%(has_own_time)s or g.created_at > %(now)s::timestamptz - interval '24 hours')
order by g.seq
limit 1;

-- name: load_markers
-- Each marker of each topic, with its cosine to this page.
select m.id, l.subspace_id as topic_id, m.label, 1 - (m.embedding <=> %(vector)s) as similarity
from misir.marker m
join misir.subspace_marker l on l.marker_id = m.id and l.user_id = m.user_id
where m.user_id = %(user_id)s and m.space_id = %(space_id)s
order by m.id, l.subspace_id;

-- name: find_near_duplicate
-- The oldest live page of this space under another address whose text is all but the same: looked up by the quarters
-- of its simhash, of which near-identical texts share at least one, and judged by meaning.
with alike as (
  select id from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and band_1 = %(band_1)s and duplicate_of is null
  union select id from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and band_2 = %(band_2)s and duplicate_of is null
  union select id from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and band_3 = %(band_3)s and duplicate_of is null
  union select id from misir.artifact
  where user_id = %(user_id)s and space_id = %(space_id)s and band_4 = %(band_4)s and duplicate_of is null
)
select a.id
from alike
join misir.artifact a on a.id = alike.id and a.user_id = %(user_id)s
join misir.embedding e on e.artifact_id = a.id and e.user_id = a.user_id and e.content_hash = a.content_hash
where a.deleted_at is null and a.url_hash <> %(url_hash)s and e.model = %(model)s
  and (e.vector <=> %(vector)s) < %(max_distance)s
order by a.id
limit 1;

-- name: session_exists
select 1 from misir.session where id = %(session_id)s and user_id = %(user_id)s;

-- name: insert_artifact
insert into misir.artifact (
  id, user_id, space_id, subspace_id, url, normalized_url, url_hash, domain, title, content, content_hash, word_count,
  content_source, engagement_level, dwell_time_ms, active_time_ms, scroll_depth, reading_depth, reading_depth_client,
  decay_rate, assigned_by, similarity, raw_margin, probability, fit, taught_weight, embedded_fraction, duplicate_of,
  metadata, captured_at, learned_seq, band_1, band_2, band_3, band_4)
overriding system value values (
  %(artifact_id)s, %(user_id)s, %(space_id)s, %(subspace_id)s, %(url)s, %(normalized_url)s, %(url_hash)s, %(domain)s,
  %(title)s, %(content)s, %(content_hash)s, %(word_count)s, %(content_source)s, %(engagement_level)s,
  %(dwell_time_ms)s, %(active_time_ms)s, %(scroll_depth)s, %(reading_depth)s, %(reading_depth_client)s,
  %(decay_rate)s, %(assigned_by)s, %(similarity)s, %(raw_margin)s, %(probability)s, %(fit)s,
  %(taught_so_far)s, %(embedded_fraction)s, %(duplicate_of)s, %(metadata)s, %(occurred_at)s,
  %(seq)s, %(band_1)s, %(band_2)s, %(band_3)s, %(band_4)s);

-- name: update_artifact
-- A known page: what was read deeper, longer or further rises; a missing title or text changes nothing.
update misir.artifact set
  subspace_id = %(subspace_id)s, title = coalesce(%(title)s, title), content = coalesce(%(content)s, content),
  content_hash = %(content_hash)s, word_count = %(word_count)s, content_source = %(content_source)s,
  engagement_level = greatest(engagement_level, %(engagement_level)s),
  dwell_time_ms = greatest(dwell_time_ms, %(dwell_time_ms)s),
  active_time_ms = greatest(active_time_ms, %(active_time_ms)s),
  scroll_depth = greatest(scroll_depth, %(scroll_depth)s),
  reading_depth = greatest(reading_depth, %(reading_depth)s),
  reading_depth_client = greatest(reading_depth_client, %(reading_depth_client)s),
  decay_rate = %(decay_rate)s, assigned_by = %(assigned_by)s, similarity = %(similarity)s, raw_margin = %(raw_margin)s,
  probability = %(probability)s, fit = %(fit)s, taught_weight = %(taught_so_far)s,
  embedded_fraction = %(embedded_fraction)s,
  duplicate_of = %(duplicate_of)s, metadata = metadata || %(metadata)s,
  captured_at = greatest(captured_at, %(occurred_at)s), deleted_at = null,
  learned_seq = case when %(is_lesson_new)s then %(seq)s else learned_seq end,
  band_1 = coalesce(%(band_1)s, band_1), band_2 = coalesce(%(band_2)s, band_2),
  band_3 = coalesce(%(band_3)s, band_3), band_4 = coalesce(%(band_4)s, band_4)
where id = %(artifact_id)s and user_id = %(user_id)s;

-- name: insert_embedding
insert into misir.embedding (user_id, artifact_id, model, content_hash, vector, fraction)
values (%(user_id)s, %(artifact_id)s, %(model)s, %(content_hash)s, %(vector)s, %(embedded_fraction)s)
on conflict (artifact_id, model, content_hash) do nothing;

-- name: insert_signal
-- One more entry in the space's log; its seq is taken under lock_space_for_update.
with taken as (
  update misir.space set next_seq = next_seq + 1 where id = %(space_id)s and user_id = %(user_id)s
  returning next_seq - 1 as seq
)
insert into misir.signal (
  user_id, space_id, artifact_id, subspace_id, embedding_id, session_id, seq, event_hash, payload_hash, type, magnitude,
  engagement_level, base_weight, taught_weight, updates_centroid, similarity, raw_margin, probability, fit, assigned_by,
  matched_marker_ids, config_version, occurred_at, client_teaches, none_probability, candidates, candidate_count, withheld,
  dwell_time_ms, active_time_ms)
select
  %(user_id)s, %(space_id)s, %(artifact_id)s, %(subspace_id)s, e.id, %(session_id)s, taken.seq, %(event_hash)s,
  %(payload_hash)s, %(signal_type)s, %(signal_magnitude)s, %(engagement_level)s, %(base_weight)s, %(taught_weight)s,
  %(updates_centroid)s, %(similarity)s, %(raw_margin)s, %(probability)s, %(fit)s, %(assigned_by)s,
  %(matched_marker_ids)s, %(config_version)s, %(occurred_at)s, %(client_teaches)s, %(none_probability)s, %(candidates)s,
  %(candidate_count)s, %(withheld)s, nullif(%(dwell_time_ms)s::bigint, 0), %(active_time_ms)s
from taken, misir.embedding e
where e.artifact_id = %(artifact_id)s and e.user_id = %(user_id)s and e.model = %(model)s
  and e.content_hash = %(content_hash)s
returning id;

-- name: update_topic
update misir.subspace set
  centroid = %(centroid)s, weight_sum = %(weight_sum)s, signal_count = %(signal_count)s,
  artifact_count = %(artifact_count)s, coherence = %(coherence)s, placed_count = %(placed_count)s,
  confidence = %(confidence)s, model = %(model)s, state = 'active',
  centroid_updated_at = case when %(is_taught)s then %(now)s else centroid_updated_at end,
  last_activity_at = greatest(last_activity_at, %(occurred_at)s)
where id = %(topic_id)s and user_id = %(user_id)s;

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
update misir.subspace_marker set last_matched_at = greatest(last_matched_at, %(occurred_at)s)
where user_id = %(user_id)s and space_id = %(space_id)s and marker_id = any(%(marker_ids)s);

-- name: list_latest
select id, space_id, url, title, captured_at from misir.artifact a
where user_id = %(user_id)s and deleted_at is null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
order by captured_at desc, id desc limit 5;
