-- An export comes back: rows of one kind at a time, under new ids. Asked by the worker as the service role, with the
-- user in every statement; the keys between tables keep a row from naming anybody else's.

-- name: move_on
-- First thing in the transaction that puts lines back: whoever moves the import on is who does it.
update misir.import_run set
  position = %(position)s, new_count = new_count + %(new)s, failed_count = failed_count + %(failed)s
where id = %(import_id)s and user_id = %(user_id)s and position = %(was_at)s and state = 'running'
returning id;

-- name: find_refs
select r.kind, r.old_id, r.new_id from misir.import_ref r
join unnest(%(kinds)s::text[], %(old_ids)s::bigint[]) as n (kind, old_id) on n.kind = r.kind and n.old_id = r.old_id
where r.user_id = %(user_id)s and r.import_id = %(import_id)s;

-- name: insert_refs
insert into misir.import_ref (user_id, import_id, kind, old_id, new_id)
select %(user_id)s, %(import_id)s, %(kind)s, n.old_id, n.new_id
from unnest(%(old_ids)s::bigint[], %(new_ids)s::bigint[]) as n (old_id, new_id)
on conflict (user_id, import_id, kind, old_id) do nothing;

-- name: reserve_ids
select nextval(pg_get_serial_sequence(%(table)s::text, 'id')) as id from generate_series(1, %(count)s::integer);

-- name: find_sessions
select id, external_id from misir.session where user_id = %(user_id)s and external_id = any(%(external_ids)s);

-- name: list_spaces
-- The spaces this import made; those that are archived or in the trash already have learned what they can.
select r.new_id as id, s.archived_at is not null or s.deleted_at is not null as is_aside
from misir.import_ref r
left join misir.space s on s.id = r.new_id and s.user_id = r.user_id
where r.user_id = %(user_id)s and r.import_id = %(import_id)s and r.kind = 'space' order by r.new_id;

-- name: count_embeddings
-- What search decides by whether to scan them.
update misir.space s set embedding_count = (
  select count(*) from misir.embedding e join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id
  where a.space_id = s.id and a.user_id = s.user_id)
where s.id = any(%(space_ids)s) and s.user_id = %(user_id)s;

-- name: set_aside
update misir.space set archived_at = %(archived_at)s, deleted_at = %(deleted_at)s
where id = %(space_id)s and user_id = %(user_id)s;

-- name: put_settings
-- Settings that are there already stay. A time zone that this database does not know is UTC.
insert into misir.profile (user_id, display_name, avatar_url, timezone, settings, onboarded_at)
select %(user_id)s, r.display_name, r.avatar_url,
       coalesce((select z.name from pg_timezone_names z where z.name = r.timezone), 'UTC'), coalesce(r.settings, '{}'), r.onboarded_at
from jsonb_populate_recordset(null::misir.profile, %(rows)s) r
on conflict (user_id) do nothing;

-- name: put_space
insert into misir.space (id, user_id, name, description, intention, intention_embedding, intention_model, auto_subspaces,
                         color, next_seq, judged_seq, consolidated_seq, consolidated_at, created_at)
overriding system value
select r.id, %(user_id)s, r.name, r.description, r.intention, r.intention_embedding, r.intention_model, r.auto_subspaces,
       r.color, r.next_seq, r.judged_seq, r.consolidated_seq, r.consolidated_at, r.created_at
from jsonb_populate_recordset(null::misir.space, %(rows)s) r;

-- name: put_session
insert into misir.session (id, user_id, external_id, started_at, ended_at, totals, created_at)
overriding system value
select r.id, %(user_id)s, r.external_id, r.started_at, r.ended_at, r.totals, r.created_at
from jsonb_populate_recordset(null::misir.session, %(rows)s) r;

-- name: put_subspace
-- Its centroid and counts come from the log, when that is there (spaces/replay.py).
insert into misir.subspace (id, user_id, space_id, name, description, model, learning_rate, anchor_centroid, anchor_at,
                            anchor_count, anchor_seq, state, pinned, depth, prerequisites, suggested_study_order, map_x,
                            map_y, named_by, named_count, last_activity_at, deleted_at, created_at)
overriding system value
select r.id, %(user_id)s, r.space_id, r.name, r.description, r.model, r.learning_rate, r.anchor_centroid, r.anchor_at,
       r.anchor_count, r.anchor_seq, r.state, r.pinned, r.depth, r.prerequisites, r.suggested_study_order, r.map_x,
       r.map_y, r.named_by, r.named_count, r.last_activity_at, r.deleted_at, r.created_at
from jsonb_populate_recordset(null::misir.subspace, %(rows)s) r;

-- name: put_marker
insert into misir.marker (id, user_id, space_id, label, model, embedding, weight, created_at)
overriding system value
select r.id, %(user_id)s, r.space_id, r.label, r.model, r.embedding, r.weight, r.created_at
from jsonb_populate_recordset(null::misir.marker, %(rows)s) r;

-- name: put_topics
insert into misir.subspace_marker (subspace_id, marker_id, space_id, user_id, weight, source, last_matched_at)
select r.subspace_id, r.marker_id, r.space_id, %(user_id)s, r.weight, r.source, r.last_matched_at
from jsonb_populate_recordset(null::misir.subspace_marker, %(rows)s) r;

-- name: put_artifact
insert into misir.artifact (
  id, user_id, space_id, subspace_id, url, normalized_url, url_hash, domain, title, content, content_hash, word_count,
  content_source, engagement_level, dwell_time_ms, active_time_ms, scroll_depth, reading_depth, reading_depth_client,
  decay_rate, assigned_by, pinned, similarity, raw_margin, probability, fit, taught_weight, embedded_fraction,
  duplicate_of, metadata, captured_at, first_read_at, learned_seq, band_1, band_2, band_3, band_4, deleted_at, created_at)
overriding system value
select
  r.id, %(user_id)s, r.space_id, r.subspace_id, r.url, r.normalized_url, r.url_hash, r.domain, r.title, r.content,
  r.content_hash, r.word_count, r.content_source, r.engagement_level, r.dwell_time_ms, r.active_time_ms, r.scroll_depth,
  r.reading_depth, r.reading_depth_client, r.decay_rate, r.assigned_by, r.pinned, r.similarity, r.raw_margin,
  r.probability, r.fit, r.taught_weight, r.embedded_fraction, r.duplicate_of, r.metadata, r.captured_at,
  r.first_read_at, r.learned_seq, r.band_1, r.band_2, r.band_3, r.band_4, r.deleted_at, r.created_at
from jsonb_populate_recordset(null::misir.artifact, %(rows)s) r;

-- name: put_embedding
insert into misir.embedding (id, user_id, artifact_id, model, content_hash, vector, fraction, created_at)
overriding system value
select r.id, %(user_id)s, r.artifact_id, r.model, r.content_hash, r.vector, r.fraction, r.created_at
from jsonb_populate_recordset(null::misir.embedding, %(rows)s) r;

-- name: put_signal
insert into misir.signal (
  id, user_id, space_id, artifact_id, subspace_id, embedding_id, session_id, seq, event_hash, payload_hash, type,
  magnitude, engagement_level, base_weight, taught_weight, updates_centroid, similarity, raw_margin, probability, fit,
  assigned_by, matched_marker_ids, config_version, occurred_at, client_teaches, none_probability, candidates,
  candidate_count, withheld, dwell_time_ms, active_time_ms, created_at)
overriding system value
select
  r.id, %(user_id)s, r.space_id, r.artifact_id, r.subspace_id, r.embedding_id, r.session_id, r.seq, r.event_hash,
  r.payload_hash, r.type, r.magnitude, r.engagement_level, r.base_weight, r.taught_weight, r.updates_centroid,
  r.similarity, r.raw_margin, r.probability, r.fit, r.assigned_by, r.matched_marker_ids, r.config_version, r.occurred_at,
  r.client_teaches, r.none_probability, r.candidates, r.candidate_count, r.withheld, r.dwell_time_ms, r.active_time_ms,
  r.created_at
from jsonb_populate_recordset(null::misir.signal, %(rows)s) r;

-- name: put_correction
insert into misir.correction (id, user_id, space_id, seq, kind, actor, artifact_ids, subspace_ids, payload, undoes,
                              created_at)
overriding system value
select r.id, %(user_id)s, r.space_id, r.seq, r.kind, r.actor, r.artifact_ids, r.subspace_ids, r.payload, r.undoes,
       r.created_at
from jsonb_populate_recordset(null::misir.correction, %(rows)s) r;

-- name: put_moves
insert into misir.correction_move (correction_id, artifact_id, user_id, space_id, seq, from_subspace_id, to_subspace_id,
                                   assigned_by, teaches)
select r.correction_id, r.artifact_id, %(user_id)s, r.space_id, r.seq, r.from_subspace_id, r.to_subspace_id,
       r.assigned_by, r.teaches
from jsonb_populate_recordset(null::misir.correction_move, %(rows)s) r;

-- name: put_subspace_event
insert into misir.subspace_event (id, user_id, space_id, subspace_id, type, cause, numbers, occurred_at, created_at)
overriding system value
select r.id, %(user_id)s, r.space_id, r.subspace_id, r.type, r.cause, r.numbers, r.occurred_at, r.created_at
from jsonb_populate_recordset(null::misir.subspace_event, %(rows)s) r;

-- name: put_drift_event
insert into misir.drift_event (id, user_id, subspace_id, trigger_signal_id, magnitude, raw_drift, z, notable, model,
                               previous_mean, new_mean, turning_artifact_ids, occurred_at, created_at)
overriding system value
select r.id, %(user_id)s, r.subspace_id, r.trigger_signal_id, r.magnitude, r.raw_drift, r.z, r.notable, r.model,
       r.previous_mean, r.new_mean, r.turning_artifact_ids, r.occurred_at, r.created_at
from jsonb_populate_recordset(null::misir.drift_event, %(rows)s) r;

-- name: put_days
insert into misir.subspace_snapshot (subspace_id, day, user_id, model, centroid, artifact_count, signal_count,
                                     confidence, map_x, map_y)
select r.subspace_id, r.day, %(user_id)s, r.model, r.centroid, r.artifact_count, r.signal_count, r.confidence, r.map_x,
       r.map_y
from jsonb_populate_recordset(null::misir.subspace_snapshot, %(rows)s) r
on conflict (subspace_id, day) do nothing;

-- name: list_untouched_spaces
-- Spaces this import made in which nothing happened since that it did not bring.
select r.new_id as id from misir.import_ref r
where r.user_id = %(user_id)s and r.import_id = %(import_id)s and r.kind = 'space'
  and exists (select 1 from misir.space s where s.id = r.new_id and s.user_id = r.user_id)
  and not exists (
    select 1 from misir.signal g where g.space_id = r.new_id and g.user_id = r.user_id
      and not exists (select 1 from misir.import_ref q where q.import_id = r.import_id and q.user_id = r.user_id
                        and q.kind = 'signal' and q.new_id = g.id));

-- name: purge_artifacts
-- A portion: what hangs on them goes with them.
delete from misir.artifact where id = any(array(
  select id from misir.artifact where user_id = %(user_id)s and space_id = any(%(space_ids)s) limit %(limit)s))
  and user_id = %(user_id)s;

-- name: purge_spaces
delete from misir.space where id = any(%(space_ids)s) and user_id = %(user_id)s;
