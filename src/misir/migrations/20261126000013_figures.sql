-- What figures are counted from, once more: by when a page was read last, so that what was read since some day is a range
-- and not the whole library; and the log by artifact, so that a library as it was is read in its order, without sorting.

-- Nothing that happened to a page is later than its captured_at.
drop index misir.artifact_figures;
create index artifact_figures on misir.artifact (user_id, space_id, captured_at)
  include (id, subspace_id, engagement_level, content_source, decay_rate, similarity, fit, domain, word_count)
  where deleted_at is null;
drop index misir.artifact_newest;
create index artifact_newest on misir.artifact (user_id, captured_at desc, id desc)
  include (space_id, subspace_id, assigned_by, fit, word_count) where deleted_at is null;
create index signal_by_artifact on misir.signal (user_id, artifact_id, seq desc)
  include (occurred_at, engagement_level, similarity, fit);

-- As before. The signals of the asker are those of the asker's artifacts: saying so twice made the planner expect few of
-- them, and look up each page on its own.
create or replace function misir.pages_at(asked_space bigint, asked_time timestamptz)
returns table (id bigint, user_id uuid, space_id bigint, subspace_id bigint, engagement_level misir.engagement_level,
               content_source misir.content_source, decay_rate misir.decay_rate, similarity double precision,
               fit double precision, captured_at timestamptz, domain text, word_count integer)
language sql stable as $$
  select a.id, a.user_id, a.space_id, a.subspace_id, a.engagement_level, a.content_source, a.decay_rate, a.similarity,
         a.fit, a.captured_at, a.domain, a.word_count
  from misir.artifact a
  where asked_time is null and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
  union all
  select a.id, a.user_id, a.space_id, a.subspace_id, g.engagement_level, a.content_source, a.decay_rate, g.similarity,
         g.fit, g.occurred_at, a.domain, a.word_count
  from (
    select distinct on (s.artifact_id) s.artifact_id, s.engagement_level, s.similarity, s.fit, s.occurred_at
    from misir.signal s
    where asked_time is not null and s.user_id = (select auth.uid()) and s.occurred_at <= asked_time
    order by s.artifact_id, s.seq desc
  ) g
  join misir.artifact a on a.id = g.artifact_id
  where (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
$$;
