-- The library as it is, or as it was, by its owner: the planner knows whose log is asked for, and looks at one part of it.
-- A page that was not read since is what it is; only those read again later are looked up in the log.

drop function misir.pages_at(bigint, timestamptz);

create function misir.pages_at(asked_user uuid, asked_space bigint, asked_time timestamptz)
returns table (id bigint, user_id uuid, space_id bigint, subspace_id bigint, engagement_level misir.engagement_level,
               content_source misir.content_source, decay_rate misir.decay_rate, similarity double precision,
               fit double precision, captured_at timestamptz, domain text, word_count integer)
language sql stable as $$
  select a.id, a.user_id, a.space_id, a.subspace_id, a.engagement_level, a.content_source, a.decay_rate, a.similarity,
         a.fit, a.captured_at, a.domain, a.word_count
  from misir.artifact a
  where asked_time is null
    and a.user_id = asked_user and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
  union all
  select a.id, a.user_id, a.space_id, a.subspace_id, a.engagement_level, a.content_source, a.decay_rate, a.similarity,
         a.fit, a.captured_at, a.domain, a.word_count
  from misir.artifact a
  where asked_time is not null and a.captured_at <= asked_time
    and a.user_id = asked_user and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
  union all
  select a.id, a.user_id, a.space_id, a.subspace_id, g.engagement_level, a.content_source, a.decay_rate, g.similarity,
         g.fit, g.occurred_at, a.domain, a.word_count
  from misir.artifact a
  cross join lateral (
    select s.engagement_level, s.similarity, s.fit, s.occurred_at from misir.signal s
    where s.user_id = asked_user and s.artifact_id = a.id and s.occurred_at <= asked_time
    order by s.seq desc limit 1
  ) g
  where asked_time is not null and a.captured_at > asked_time
    and a.user_id = asked_user and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
    and exists (select from misir.signal s where s.user_id = asked_user and s.artifact_id = a.id and s.occurred_at <= asked_time)
$$;

revoke all on function misir.pages_at(uuid, bigint, timestamptz) from public;
grant execute on function misir.pages_at(uuid, bigint, timestamptz) to misir_app;
