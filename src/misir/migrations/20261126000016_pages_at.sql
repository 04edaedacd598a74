-- The library as it is, or as it was, once more: which of the two is asked for is said where the planner sees it, so that the
-- other half is not in the plan at all, and no row passes through it.

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
    where s.user_id = (select auth.uid()) and s.occurred_at <= asked_time
    order by s.artifact_id, s.seq desc
  ) g
  join misir.artifact a on a.id = g.artifact_id
  where asked_time is not null and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
$$;
