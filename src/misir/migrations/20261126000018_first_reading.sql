-- When a page was read first, where that was before captured_at, its last reading: the library as it was then is read from the
-- pages alone, and the log is asked only for those that were read before and after.

alter table misir.artifact add column first_read_at timestamptz;

update misir.artifact a set first_read_at = g.first_read_at
from (select artifact_id, user_id, min(occurred_at) as first_read_at from misir.signal group by artifact_id, user_id) g
where g.artifact_id = a.id and g.user_id = a.user_id and g.first_read_at < a.captured_at;

drop index misir.artifact_figures;
create index artifact_figures on misir.artifact (user_id, space_id, captured_at)
  include (id, subspace_id, engagement_level, content_source, decay_rate, similarity, fit, domain, word_count, first_read_at)
  where deleted_at is null;

-- The library as it is, or as it was, by its owner: the planner knows whose log is asked for, and looks at one part of it.
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
  where asked_time is not null and a.captured_at > asked_time and a.first_read_at <= asked_time
    and a.user_id = asked_user and (asked_space is null or a.space_id = asked_space) and a.deleted_at is null
$$;

revoke all on function misir.pages_at(uuid, bigint, timestamptz) from public;
grant execute on function misir.pages_at(uuid, bigint, timestamptz) to misir_app;
