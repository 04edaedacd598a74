-- What the pages of each topic, and of none, weigh together: kept sums, and what they lack (sums.py tells how).

-- name: list_sums
-- Of one space, or of all: how much the pages of each topic weigh together, and the heaviest of them; is_kept: nothing changed
-- since they were summed. A sum of one decay rate, decayed as a whole, is the sum of what each page has become. And what was
-- read since %(recent_since)s, which is a range of each space, and always weighed.
with recent as (
  select p.space_id, p.subspace_id, count(*) as recent_count, sum(p.weight) as recent_weight
  from (
    select a.space_id, a.subspace_id,
           misir.page_weight(a.engagement_level, a.decay_rate, a.similarity,
                             greatest(tstzrange_subdiff(%(at)s::timestamptz, a.captured_at), 0), %(numbers)s::float8[]) as weight
    from misir.space s
    cross join lateral (
      select o.space_id, o.subspace_id, o.engagement_level, o.similarity, o.decay_rate, o.captured_at from misir.artifact o
      where o.user_id = %(user_id)s and o.space_id = s.id and o.captured_at > %(recent_since)s::timestamptz and o.deleted_at is null
      offset 0 -- a range of the index for each space
    ) a
    where s.user_id = %(user_id)s and s.deleted_at is null and (%(space_id)s::bigint is null or s.id = %(space_id)s::bigint)
  ) p
  group by p.space_id, p.subspace_id
)
select t.space_id, t.subspace_id, t.artifact_count, coalesce(t.computed_at is not null and t.numbers = %(numbers)s::float8[], false) as is_kept,
       t.high * k.high + t.medium * k.medium + t.low * k.low as weight,
       greatest(t.heaviest_high * k.high, t.heaviest_medium * k.medium, t.heaviest_low * k.low) as max_weight,
       coalesce(r.recent_count, 0) as recent_count, coalesce(r.recent_weight, 0) as recent_weight
from misir.topic_sum t
left join recent r on r.space_id = t.space_id and coalesce(r.subspace_id, 0) = coalesce(t.subspace_id, 0)
cross join lateral (select tstzrange_subdiff(%(at)s::timestamptz, t.computed_at) as age offset 0) a
cross join lateral (
  select exp((%(numbers)s::float8[])[7] * a.age) as high, exp((%(numbers)s::float8[])[8] * a.age) as medium,
         exp((%(numbers)s::float8[])[9] * a.age) as low
  offset 0
) k
where t.user_id = %(user_id)s and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint);

-- name: weigh_some
-- Of those topics (null: of no topic, of that space) whose pages changed.
select p.space_id, p.subspace_id, count(*) as artifact_count, coalesce(sum(p.weight), 0) as weight, max(p.weight) as max_weight
from (
  select a.space_id, a.subspace_id,
         misir.page_weight(a.engagement_level, a.decay_rate, a.similarity,
                           greatest(tstzrange_subdiff(%(at)s::timestamptz, a.captured_at), 0), %(numbers)s::float8[]) as weight
  from unnest(%(space_ids)s::bigint[], %(subspace_ids)s::bigint[]) as g (space_id, subspace_id)
  cross join lateral misir.pages_of(%(user_id)s, g.space_id, g.subspace_id) a
  offset 0
) p
group by p.space_id, p.subspace_id;

-- name: weigh_topics
-- Artifacts of each topic, and of none; how much they weigh, all of them and those read since %(recent_since)s. The heaviest of
-- them, too. In one pass: for the past, and where too little is kept.
select p.space_id, p.subspace_id, count(*) as artifact_count, coalesce(sum(p.weight), 0) as weight,
       max(p.weight) as max_weight,
       count(*) filter (where p.is_recent) as recent_count,
       coalesce(sum(p.weight) filter (where p.is_recent), 0) as recent_weight
from (
  select a.space_id, a.subspace_id, a.captured_at > %(recent_since)s::timestamptz as is_recent,
         misir.page_weight(a.engagement_level, a.decay_rate, a.similarity,
                           greatest(tstzrange_subdiff(%(at)s::timestamptz, a.captured_at), 0), %(numbers)s::float8[]) as weight
  from misir.pages_at(%(user_id)s, %(space_id)s::bigint, %(as_of)s::timestamptz) a
  where a.user_id = %(user_id)s
  offset 0 -- else each weight would be computed as often as it is mentioned
) p
group by p.space_id, p.subspace_id;

-- name: lock_sums_for_update
-- Those of a space that hold no longer, as long as their pages are summed: whoever changes one of the pages waits, or is
-- waited for.
select id, space_id, subspace_id from misir.topic_sum
where user_id = %(user_id)s and space_id = %(space_id)s and (computed_at is null or numbers <> %(numbers)s::float8[])
order by space_id, subspace_id
for no key update;

-- name: keep_sums
update misir.topic_sum t set
  artifact_count = n.artifact_count, high = n.high, medium = n.medium, low = n.low, heaviest_high = n.heaviest_high,
  heaviest_medium = n.heaviest_medium, heaviest_low = n.heaviest_low, numbers = %(numbers)s::float8[], computed_at = %(at)s
from unnest(%(ids)s::bigint[], %(space_ids)s::bigint[], %(subspace_ids)s::bigint[]) as g (id, space_id, subspace_id)
cross join lateral (
  select count(*) as artifact_count,
         coalesce(sum(p.weight) filter (where p.decay_rate = 'high'), 0) as high,
         coalesce(sum(p.weight) filter (where p.decay_rate = 'medium'), 0) as medium,
         coalesce(sum(p.weight) filter (where p.decay_rate = 'low'), 0) as low,
         max(p.weight) filter (where p.decay_rate = 'high') as heaviest_high,
         max(p.weight) filter (where p.decay_rate = 'medium') as heaviest_medium,
         max(p.weight) filter (where p.decay_rate = 'low') as heaviest_low
  from (
    select a.decay_rate,
           misir.page_weight(a.engagement_level, a.decay_rate, a.similarity,
                             tstzrange_subdiff(%(at)s::timestamptz, a.captured_at), %(numbers)s::float8[]) as weight
    from misir.pages_of(%(user_id)s, g.space_id, g.subspace_id) a
    offset 0
  ) p
) n
where t.id = g.id and t.user_id = %(user_id)s;
