-- The library: what was captured, listed, read and corrected.

-- name: list_artifacts
-- Newest first by (captured_at, id); %(before_at)s and %(before_id)s are where the last page ended.
select id, user_id, space_id, subspace_id, url, domain, title, engagement_level, content_source, word_count,
       reading_depth, scroll_depth, dwell_time_ms, fit, raw_margin, duplicate_of, captured_at, created_at, updated_at
from misir.artifact a
where user_id = %(user_id)s and deleted_at is null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
  and (%(before_at)s::timestamptz is null or (captured_at, id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
  and (%(updated_since)s::timestamptz is null or updated_at >= %(updated_since)s::timestamptz)
order by captured_at desc, id desc
limit %(limit)s;

-- name: list_space_artifacts
-- One page of a space's artifacts, filtered and sorted, with the number of all that match.
select a.id, a.user_id, a.space_id, a.subspace_id, a.url, a.domain, a.title, a.engagement_level, a.content_source,
       a.word_count, a.reading_depth, a.scroll_depth, a.dwell_time_ms, a.fit, a.raw_margin, a.duplicate_of,
       a.captured_at, a.created_at, a.updated_at, count(*) over () as n_matching
from misir.artifact a
cross join (select websearch_to_tsquery('english', coalesce(%(q)s::text, ''))
                   || websearch_to_tsquery('simple', coalesce(%(q)s::text, '')) as query) asked
where a.user_id = %(user_id)s and a.space_id = %(space_id)s and a.deleted_at is null
  and (%(subspace_id)s::bigint is null or a.subspace_id = %(subspace_id)s::bigint)
  and (%(levels)s::text[] is null or a.engagement_level::text = any(%(levels)s::text[]))
  and (%(min_fit)s::float8 is null or coalesce(a.fit, 0) >= %(min_fit)s::float8)
  and (%(max_fit)s::float8 is null or coalesce(a.fit, 0) <= %(max_fit)s::float8)
  and (%(source)s::text is null or a.content_source::text = %(source)s::text)
  and (%(domain)s::text is null or a.domain = %(domain)s::text)
  and (%(from_at)s::timestamptz is null or a.captured_at >= %(from_at)s::timestamptz)
  and (%(to_at)s::timestamptz is null or a.captured_at < %(to_at)s::timestamptz)
  and (%(q)s::text is null or a.search @@ asked.query)
order by
  case when %(sort)s = 'oldest' then a.captured_at end asc,
  case when %(sort)s = 'fit_desc' then coalesce(a.fit, 0) end desc,
  case when %(sort)s = 'fit_asc' then coalesce(a.fit, 0) end asc,
  case when %(sort)s = 'reading_time' then a.word_count end desc,
  case when %(sort)s = 'relevance' then ts_rank_cd(a.search, asked.query) end desc,
  a.captured_at desc, a.id desc
limit %(limit)s offset %(offset)s;

-- name: get_artifact
select artifact.id, user_id, space_id, subspace_id, url, domain, title, content, engagement_level, content_source,
       word_count, reading_depth, scroll_depth, dwell_time_ms, fit, raw_margin, similarity, probability, assigned_by, pinned,
       decay_rate, embedded_fraction, duplicate_of, metadata, captured_at, created_at, updated_at,
       p.id is not null as pending, p.error as pending_error
from misir.artifact
left join lateral (
  select w.id, w.error from misir.pending_capture w
  where w.artifact_id = artifact.id and w.user_id = artifact.user_id order by w.error nulls last, w.id limit 1
) p on true
where artifact.id = %(artifact_id)s and artifact.user_id = %(user_id)s and deleted_at is null
  and exists (select 1 from misir.space s where s.id = artifact.space_id and s.user_id = artifact.user_id and s.deleted_at is null);

-- name: list_signals
select id, seq, type, magnitude, engagement_level, subspace_id, base_weight, taught_weight, updates_centroid, similarity,
       raw_margin, probability, fit, assigned_by, matched_marker_ids, occurred_at, created_at
from misir.signal
where artifact_id = %(artifact_id)s and user_id = %(user_id)s
order by occurred_at desc, id desc limit 20;

-- name: list_matched_markers
-- Markers that matched in any of the artifact's signals, as text.
select distinct m.id, m.label
from misir.signal g join misir.marker m on m.id = any(g.matched_marker_ids) and m.user_id = g.user_id
where g.artifact_id = %(artifact_id)s and g.user_id = %(user_id)s
order by m.id;

-- name: list_similar
-- The nearest live artifacts of this user. "+ 0" keeps the planner on the exact scan of the user's own rows.
select a.id, a.space_id, a.subspace_id, a.url, a.title, 1 - (e.vector <=> mine.vector) as similarity
from misir.embedding mine
join misir.artifact self on self.id = mine.artifact_id and self.content_hash = mine.content_hash
join misir.embedding e on e.user_id = mine.user_id and e.model = mine.model and e.artifact_id <> mine.artifact_id
join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id and a.content_hash = e.content_hash
where mine.user_id = %(user_id)s and mine.artifact_id = %(artifact_id)s and mine.model = %(model)s
  and self.deleted_at is null and a.deleted_at is null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
order by (e.vector <=> mine.vector) + 0, a.id
limit %(limit)s;

-- name: find_artifact
-- Where the artifact lives, trashed or not, before any lock is taken.
select id, space_id, title, content, deleted_at is not null as is_deleted
from misir.artifact a where id = %(artifact_id)s and user_id = %(user_id)s
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null);

-- name: load_artifact_for_update
-- Under the space's lock: as it is now.
select id, space_id, subspace_id, url, title, content, content_hash, engagement_level, url_hash,
       assigned_by, pinned,
       deleted_at is not null as is_deleted
from misir.artifact where id = %(artifact_id)s and user_id = %(user_id)s
for no key update;

-- name: find_artifacts
-- As find_artifact, of many, without their texts.
select id, space_id from misir.artifact a
where id = any(%(artifact_ids)s::bigint[]) and user_id = %(user_id)s
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null);

-- name: load_artifacts_for_update
-- As load_artifact_for_update, of many, without their texts.
select id, space_id, subspace_id, url, title, engagement_level, url_hash, assigned_by, pinned,
       deleted_at is not null as is_deleted
from misir.artifact where id = any(%(artifact_ids)s::bigint[]) and user_id = %(user_id)s
order by id
for no key update;

-- name: find_same_pages
-- Which of these addresses does the space hold?
select id, deleted_at is not null as is_deleted from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and url_hash = any(%(url_hashes)s::bytea[])
order by id;

-- name: purge_artifacts
delete from misir.artifact where id = any(%(artifact_ids)s::bigint[]) and user_id = %(user_id)s;

-- name: load_marker_vectors
-- Each marker of each topic of the space.
select l.subspace_id as topic_id, m.embedding
from misir.marker m
join misir.subspace_marker l on l.marker_id = m.id and l.user_id = m.user_id
where m.user_id = %(user_id)s and m.space_id = %(space_id)s
order by m.id, l.subspace_id;

-- name: set_trashed
-- Into the trash, or out of it; of one space only.
update misir.artifact set deleted_at = %(deleted_at)s
where id = any(%(artifact_ids)s::bigint[]) and user_id = %(user_id)s and space_id = %(space_id)s;

-- name: patch_artifact
update misir.artifact set
  title = %(title)s, content = %(content)s, content_hash = %(content_hash)s, word_count = %(word_count)s,
  embedded_fraction = %(embedded_fraction)s
where id = %(artifact_id)s and user_id = %(user_id)s;

-- name: raise_engagement
update misir.artifact set
  engagement_level = greatest(engagement_level, coalesce(%(engagement_level)s::misir.engagement_level, engagement_level)),
  reading_depth = coalesce(%(reading_depth)s, reading_depth)
where id = %(artifact_id)s and user_id = %(user_id)s;

-- name: store_fit
-- After its text was edited: how it fits the topic it is in.
update misir.artifact set
  similarity = %(similarity)s, raw_margin = %(raw_margin)s, probability = %(probability)s, fit = %(fit)s
where id = %(artifact_id)s and user_id = %(user_id)s;

-- name: load_placed_vectors
-- What a calibration is measured on: the vectors of placed, live pages, their titles, and their topics as labels.
select a.title, a.subspace_id, e.vector
from misir.artifact a
cross join lateral (
  select v.vector from misir.embedding v
  where v.user_id = %(user_id)s and v.artifact_id = a.id and v.model = %(model)s and v.content_hash = a.content_hash
  limit 1 -- by its key, whatever the planner knows of so new a table
) e
where a.user_id = %(user_id)s and a.deleted_at is null and a.subspace_id is not null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
  and (%(space_id)s::bigint is null or a.space_id = %(space_id)s::bigint)
order by a.id;

-- name: load_decision
-- The artifact's last signal, with everything its decision was made of; one of the space it is in now before others.
select g.id as signal_id, g.seq, g.subspace_id, g.assigned_by, g.engagement_level, g.base_weight, g.taught_weight,
       g.updates_centroid, g.similarity, g.raw_margin, g.probability, g.none_probability, g.fit, g.candidates,
       g.candidate_count, g.withheld, g.matched_marker_ids, g.config_version, g.occurred_at, g.created_at
from misir.signal g
join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id
where g.artifact_id = %(artifact_id)s and g.user_id = %(user_id)s
order by (g.space_id is not distinct from a.space_id) desc, g.seq desc limit 1;

-- name: list_moves_of
-- Every correction that moved the artifact, newest first; undone ones too.
select c.id as correction_id, c.kind, c.actor, c.created_at, v.from_subspace_id, v.to_subspace_id, v.seq, v.space_id,
       exists (select 1 from misir.correction u where u.undoes = c.id and u.user_id = c.user_id) as undone
from misir.correction_move v
join misir.correction c on c.id = v.correction_id and c.user_id = v.user_id
where v.artifact_id = %(artifact_id)s and v.user_id = %(user_id)s
order by v.correction_id desc limit 50;

-- name: name_topics_and_markers
-- Names for the ids of an explanation.
select 'topic' as what, id, name from misir.subspace where id = any(%(topic_ids)s::bigint[]) and user_id = %(user_id)s
union all
select 'marker', id, label from misir.marker where id = any(%(marker_ids)s::bigint[]) and user_id = %(user_id)s;
