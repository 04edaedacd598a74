-- A library as lines of JSON, a page of rows in each transaction, every row named by its kind. All statements take the
-- same values: rows after %(after_id)s up to %(last_id)s, of one space or (null) of all. What is in the trash is there, too.

-- name: read_bounds
-- How far each kind goes when the export begins; what comes later is not in it.
select
  (select max(id) from misir.space where user_id = %(user_id)s) as space,
  (select max(id) from misir.subspace where user_id = %(user_id)s) as subspace,
  (select max(id) from misir.marker where user_id = %(user_id)s) as marker,
  (select max(id) from misir.session where user_id = %(user_id)s) as session,
  (select max(id) from misir.artifact where user_id = %(user_id)s) as artifact,
  (select max(id) from misir.embedding where user_id = %(user_id)s) as embedding,
  (select max(id) from misir.signal where user_id = %(user_id)s) as signal,
  (select max(id) from misir.correction where user_id = %(user_id)s) as correction,
  (select max(id) from misir.subspace_event where user_id = %(user_id)s) as subspace_event,
  (select max(id) from misir.drift_event where user_id = %(user_id)s) as drift_event;

-- name: list_settings
select 0::bigint as id, row_to_json(r)::text as line from (
  select 'settings' as kind, display_name, avatar_url, timezone, settings, onboarded_at
  from misir.profile where user_id = %(user_id)s
) r;

-- name: list_spaces
select r.id, row_to_json(r)::text as line from (
  select 'space' as kind, id, name, description, intention, intention_embedding::text as intention_embedding,
         intention_model, auto_subspaces, color, next_seq, judged_seq, consolidated_seq, consolidated_at, archived_at,
         deleted_at, created_at
  from misir.space
  where user_id = %(user_id)s and id > %(after_id)s and id <= %(last_id)s
    and (%(space_id)s::bigint is null or id = %(space_id)s::bigint)
  order by id limit %(limit)s
) r;

-- name: list_subspaces
-- Their state is not among it: it is what the log says.
select r.id, row_to_json(r)::text as line from (
  select 'subspace' as kind, t.id, t.space_id, t.name, t.description, t.model, t.learning_rate,
         t.anchor_centroid::text as anchor_centroid, t.anchor_at, t.anchor_count, t.anchor_seq, t.state, t.pinned,
         t.depth, t.prerequisites, t.suggested_study_order, t.map_x, t.map_y, t.named_by, t.named_count,
         t.last_activity_at, t.deleted_at, t.created_at
  from misir.subspace t
  where t.user_id = %(user_id)s and t.id > %(after_id)s and t.id <= %(last_id)s
    and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint)
  order by t.id limit %(limit)s
) r;

-- name: list_markers
select r.id, row_to_json(r)::text as line from (
  select 'marker' as kind, m.id, m.space_id, m.label, m.model, m.embedding::text as embedding, m.weight, m.created_at,
         coalesce((select json_agg(json_build_object('subspace_id', l.subspace_id, 'weight', l.weight,
                                                     'source', l.source, 'last_matched_at', l.last_matched_at)
                                   order by l.subspace_id)
                   from misir.subspace_marker l where l.marker_id = m.id and l.user_id = m.user_id), '[]') as topics
  from misir.marker m
  where m.user_id = %(user_id)s and m.id > %(after_id)s and m.id <= %(last_id)s
    and (%(space_id)s::bigint is null or m.space_id = %(space_id)s::bigint)
  order by m.id limit %(limit)s
) r;

-- name: list_sessions
select r.id, row_to_json(r)::text as line from (
  select 'session' as kind, id, external_id, started_at, ended_at, totals, created_at
  from misir.session
  where user_id = %(user_id)s and id > %(after_id)s and id <= %(last_id)s
    and (%(space_id)s::bigint is null or id in (
      select session_id from misir.signal where user_id = %(user_id)s and space_id = %(space_id)s::bigint))
  order by id limit %(limit)s
) r;

-- name: list_artifacts
-- The log goes through those in the trash. Pages of text end at %(max_bytes)s, one row at least.
select r.id, row_to_json(r)::text as line from (
  select 'artifact' as kind, a.id, a.space_id, a.subspace_id, a.url, a.normalized_url, a.url_hash, a.domain, a.title,
         a.content, a.content_hash, a.word_count, a.content_source, a.engagement_level, a.dwell_time_ms,
         a.active_time_ms, a.scroll_depth, a.reading_depth, a.reading_depth_client, a.decay_rate, a.assigned_by,
         a.pinned, a.similarity, a.raw_margin, a.probability, a.fit, a.taught_weight, a.embedded_fraction,
         a.duplicate_of, a.metadata, a.captured_at, a.first_read_at, a.learned_seq, a.band_1, a.band_2, a.band_3, a.band_4,
         a.deleted_at, a.created_at
  from (
    select w.*, sum(coalesce(octet_length(w.content), 0)) over (order by w.id) - coalesce(octet_length(w.content), 0)
                as bytes_before
    from (
      select x.*
      from misir.artifact x
      where x.user_id = %(user_id)s and x.id > %(after_id)s and x.id <= %(last_id)s
        and (%(space_id)s::bigint is null or x.space_id = %(space_id)s::bigint)
      order by x.id limit %(limit)s
    ) w
  ) a
  where a.bytes_before < %(max_bytes)s
  order by a.id
) r;

-- name: list_embeddings
-- The vector as base64 of pgvector's own binary form, which is exact and a quarter of the size.
select r.id, row_to_json(r)::text as line from (
  select 'embedding' as kind, e.id, e.artifact_id, e.model, e.content_hash,
         translate(encode(halfvec_send(e.vector), 'base64'), E'\n', '') as vector, e.fraction, e.created_at
  from misir.embedding e
  join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id
  where e.user_id = %(user_id)s and e.id > %(after_id)s and e.id <= %(last_id)s
    and (%(space_id)s::bigint is null or a.space_id = %(space_id)s::bigint)
  order by e.id limit %(limit)s
) r;

-- name: list_signals
-- Of the artifacts that are there: one that came from another space brings its signals along.
select r.id, row_to_json(r)::text as line from (
  select 'signal' as kind, g.id, g.space_id, g.artifact_id, g.subspace_id, g.embedding_id, g.session_id, g.seq,
         g.event_hash, g.payload_hash, g.type, g.magnitude, g.engagement_level, g.base_weight, g.taught_weight,
         g.updates_centroid, g.similarity, g.raw_margin, g.probability, g.fit, g.assigned_by, g.matched_marker_ids,
         g.config_version, g.occurred_at, g.client_teaches, g.none_probability, g.candidates, g.candidate_count,
         g.withheld, g.dwell_time_ms, g.active_time_ms, g.created_at
  from misir.signal g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id
  where g.user_id = %(user_id)s and g.id > %(after_id)s and g.id <= %(last_id)s
    and (%(space_id)s::bigint is null or a.space_id = %(space_id)s::bigint)
  order by g.id limit %(limit)s
) r;

-- name: list_corrections
select r.id, row_to_json(r)::text as line from (
  select 'correction' as kind, c.id, c.space_id, c.seq, c.kind as correction, c.actor, c.artifact_ids, c.subspace_ids,
         c.payload, c.undoes, c.created_at,
         coalesce((select json_agg(json_build_object(
                            'artifact_id', v.artifact_id, 'space_id', v.space_id, 'seq', v.seq,
                            'from_subspace_id', v.from_subspace_id, 'to_subspace_id', v.to_subspace_id,
                            'assigned_by', v.assigned_by, 'teaches', v.teaches) order by v.artifact_id)
                   from misir.correction_move v where v.correction_id = c.id and v.user_id = c.user_id), '[]') as moves
  from misir.correction c
  where c.user_id = %(user_id)s and c.id > %(after_id)s and c.id <= %(last_id)s
    and (%(space_id)s::bigint is null or c.space_id = %(space_id)s::bigint)
  order by c.id limit %(limit)s
) r;

-- name: list_events
select r.id, row_to_json(r)::text as line from (
  select 'subspace_event' as kind, e.id, e.space_id, e.subspace_id, e.type, e.cause, e.numbers, e.occurred_at,
         e.created_at
  from misir.subspace_event e
  where e.user_id = %(user_id)s and e.id > %(after_id)s and e.id <= %(last_id)s
    and (%(space_id)s::bigint is null or e.space_id = %(space_id)s::bigint)
  order by e.id limit %(limit)s
) r;

-- name: list_drifts
select r.id, row_to_json(r)::text as line from (
  select 'drift_event' as kind, d.id, d.subspace_id, d.trigger_signal_id, d.magnitude, d.raw_drift, d.z, d.notable,
         d.model, d.previous_mean::text as previous_mean, d.new_mean::text as new_mean, d.turning_artifact_ids,
         d.occurred_at, d.created_at
  from misir.drift_event d
  join misir.subspace t on t.id = d.subspace_id and t.user_id = d.user_id
  where d.user_id = %(user_id)s and d.id > %(after_id)s and d.id <= %(last_id)s
    and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint)
  order by d.id limit %(limit)s
) r;

-- name: list_snapshots
-- A topic's days on one line.
select r.id, row_to_json(r)::text as line from (
  select 'snapshots' as kind, t.id, json_agg(json_build_object(
           'day', p.day, 'model', p.model, 'centroid', p.centroid::text, 'artifact_count', p.artifact_count,
           'signal_count', p.signal_count, 'confidence', p.confidence, 'map_x', p.map_x, 'map_y', p.map_y)
         order by p.day) as days
  from misir.subspace t
  join misir.subspace_snapshot p on p.subspace_id = t.id and p.user_id = t.user_id
  where t.user_id = %(user_id)s and t.id > %(after_id)s and t.id <= %(last_id)s
    and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint)
  group by t.id order by t.id limit %(limit)s
) r;

-- name: list_bookmarks
-- The live pages with an address on the web, for browsers and other tools.
select a.id, a.space_id, a.url, a.title, a.captured_at, s.name as space_name, t.name as topic_name
from misir.artifact a
join misir.space s on s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null
left join misir.subspace t on t.id = a.subspace_id and t.user_id = a.user_id
where a.user_id = %(user_id)s and a.deleted_at is null and (%(space_id)s::bigint is null or a.space_id = %(space_id)s::bigint)
  and (a.space_id, a.id) > (%(after_space_id)s::bigint, %(after_id)s::bigint) and a.id <= %(last_id)s
  and a.domain is not null
order by a.space_id, a.id limit %(limit)s;

-- name: find_space
select id from misir.space where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null;
