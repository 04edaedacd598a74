-- What attention adds up to: each figure one statement over one space, or over all (%(space_id)s null), as of now
-- (%(as_of)s null) or of a time. `at` is that time, or now. Trashed artifacts, topics and spaces are nowhere.

-- name: load_clock
-- The days of a person are those of their time zone.
select coalesce((select timezone from misir.profile where user_id = %(user_id)s), 'UTC') as timezone;

-- name: load_space
select id, name, intention, archived_at is not null as is_archived from misir.space
where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null;

-- name: list_spaces
select id, name, color, intention is not null as has_intention, archived_at is not null as is_archived
from misir.space
where user_id = %(user_id)s and deleted_at is null and (%(as_of)s::timestamptz is null or created_at <= %(as_of)s::timestamptz)
order by id
limit %(limit)s;

-- name: list_topics
-- Topics with their figures: those of today, or of the last day on which each had changed by then. One that retired
-- since is there while it held anything. How near its content is to what its space is for: cosine, null without an intention.
select t.id, t.space_id, t.name, t.last_activity_at, t.weight_sum,
       case when %(as_of)s::timestamptz is null then t.artifact_count else coalesce(h.artifact_count, 0) end as artifact_count,
       case when %(as_of)s::timestamptz is null then t.confidence else coalesce(h.confidence, 0) end as confidence,
       case when s.intention_model = t.model then 1 - (t.centroid <=> s.intention_embedding::vector) end as intention_similarity
from misir.subspace t
join misir.space s on s.id = t.space_id and s.user_id = t.user_id and s.deleted_at is null
left join lateral (
  select b.artifact_count, b.confidence from misir.subspace_snapshot b
  where %(as_of)s::timestamptz is not null and b.subspace_id = t.id and b.user_id = t.user_id
    and b.day <= (%(as_of)s::timestamptz at time zone 'UTC')::date
  order by b.day desc limit 1
) h on true
where t.user_id = %(user_id)s and t.deleted_at is null and (%(space_id)s::bigint is null or t.space_id = %(space_id)s::bigint)
  and case when %(as_of)s::timestamptz is null then t.state <> 'retired'
           when t.state = 'retired' then h.artifact_count > 0
           else h.artifact_count is not null or t.created_at <= %(as_of)s::timestamptz end
order by t.artifact_count desc, t.id
limit %(limit)s;

-- name: count_kinds_and_domains
-- One pass over a space: what count_kinds says (part: 'kind'), and how many there are of the most frequent domains ('domain'),
-- in this order.
select *
from (
  select case when grouping(p.domain) = 0 then 'domain' else 'kind' end as part,
         p.level, p.source, p.tenth, p.grade, p.domain, count(*) as count, sum(p.fit) as fit_sum,
         row_number() over (partition by grouping(p.domain) order by p.domain is null, count(*) desc, p.domain) as place
  from (
    select a.engagement_level as level, a.content_source as source, a.domain, a.fit,
           case when a.subspace_id is not null and a.fit is not null then least(floor(a.fit * 10), 9)::integer end as tenth,
           case when a.subspace_id is null or a.fit is null then null
                when a.fit < %(moderate_fit)s then 'weak' when a.fit < %(strong_fit)s then 'moderate' else 'strong' end as grade
    from misir.pages_at(%(user_id)s, %(space_id)s::bigint, null) a
    where a.user_id = %(user_id)s
    offset 0 -- each value is computed once
  ) p
  group by grouping sets ((p.level, p.source, p.tenth, p.grade), (p.domain))
) c
where c.part <> 'domain' or c.domain is not null and c.place <= %(n_domains)s
order by c.place;

-- name: count_pages
-- The same of the past, and in the same pass what weigh_topics (sums.sql) says of each topic (part: 'topic'): a past page is
-- dear to find.
select *
from (
  select case grouping(p.level, p.domain) when 3 then 'topic' when 1 then 'kind' else 'domain' end as part,
         p.subspace_id, p.level, p.source, p.tenth, p.grade, p.domain, count(*) as count, count(*) as artifact_count,
         sum(p.fit) as fit_sum, coalesce(sum(p.weight), 0) as weight, max(p.weight) as max_weight, count(*) filter (where p.is_recent) as recent_count,
         coalesce(sum(p.weight) filter (where p.is_recent), 0) as recent_weight,
         row_number() over (partition by grouping(p.level, p.domain) order by p.domain is null, count(*) desc, p.domain) as place
  from (
    select a.subspace_id, a.engagement_level as level, a.content_source as source, a.domain, a.fit,
           case when a.subspace_id is not null and a.fit is not null then least(floor(a.fit * 10), 9)::integer end as tenth,
           case when a.subspace_id is null or a.fit is null then null
                when a.fit < %(moderate_fit)s then 'weak' when a.fit < %(strong_fit)s then 'moderate' else 'strong' end as grade,
           a.captured_at > %(recent_since)s::timestamptz as is_recent,
           misir.page_weight(a.engagement_level, a.decay_rate, a.similarity,
                             greatest(tstzrange_subdiff(%(at)s::timestamptz, a.captured_at), 0), %(numbers)s::float8[]) as weight
    from misir.pages_at(%(user_id)s, %(space_id)s::bigint, %(as_of)s::timestamptz) a
    where a.user_id = %(user_id)s
    offset 0 -- each value is computed once
  ) p
  group by grouping sets ((p.subspace_id), (p.level, p.source, p.tenth, p.grade), (p.domain))
) c
where c.part <> 'domain' or c.domain is not null and c.place <= %(n_domains)s
order by c.place;

-- name: count_days
-- By space: visits, and their time. By day: artifacts, of all spaces. By space and half: artifacts of the last seven days (0:
-- since %(week_since)s), and of the seven before them (1). %(days)s are days of the person's own time, %(starts)s when each began:
-- looked up, an hour costs less than asked of the calendar. A visit is what happened to an artifact in one session on one day, or
-- without a session on one day; its time is the longest that was measured, active before dwell. Words are those of visits
-- that nobody measured.
with visit as materialized (
  select a.space_id, v.artifact_id, v.day,
         case when v.last_at > %(week_since)s::timestamptz then 0 when v.last_at > %(fortnight_since)s::timestamptz then 1 end as half,
         coalesce(v.active_ms, v.dwell_ms)::float8 as measured_ms, -- sums of bigint are numeric, and slow
         case when coalesce(v.active_ms, v.dwell_ms) is null then a.word_count::float8 else 0 end as unmeasured_words
  from (
    select g.artifact_id, width_bucket(g.occurred_at, %(starts)s::timestamptz[]) as day, max(g.occurred_at) as last_at,
           max(nullif(g.active_time_ms, 0)) as active_ms, max(g.dwell_time_ms) as dwell_ms
    from misir.signal g
    where g.user_id = %(user_id)s and g.occurred_at >= %(since)s::timestamptz and g.occurred_at <= %(at)s::timestamptz
    group by g.artifact_id, g.session_id, 2
  ) v
  join misir.artifact a on a.id = v.artifact_id and a.user_id = %(user_id)s and a.deleted_at is null
    and a.captured_at >= %(since)s::timestamptz -- its last reading is no earlier than any
  join misir.space s on s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null
    and (%(as_of)s::timestamptz is null or s.created_at <= %(as_of)s::timestamptz)
)
select space_id, null::date as day, null::integer as half, null::bigint as artifact_count, count(*) as visit_count,
       coalesce(sum(measured_ms), 0) as measured_ms, sum(unmeasured_words) as unmeasured_words
from visit
group by space_id
union all
select null, (%(days)s::date[])[day], null, count(*), null, null, null
from (select distinct artifact_id, day from visit) d
group by day
union all
select space_id, null, half, count(distinct artifact_id), null, null, null
from visit
where half is not null
group by space_id, half;

-- name: list_loose
-- The newest artifacts that are in no topic (%(is_unplaced)s), or that hardly fit where they are. Those of today are read
-- in their own order until there are enough.
select w.id, coalesce(a.title, a.url) as title, s.id as space_id, s.name as space_name, w.subspace_id,
       coalesce(w.fit, 0) as fit, a.created_at
from (
  (select p.id, p.space_id, p.subspace_id, p.fit, p.captured_at
   from misir.artifact p
   where %(as_of)s::timestamptz is null and p.user_id = %(user_id)s and p.deleted_at is null
     and case when %(is_unplaced)s::boolean then p.subspace_id is null else p.fit < %(weak_fit)s::float8 end
     and p.space_id = any(%(space_ids)s)
   order by p.captured_at desc, p.id desc limit %(limit)s)
  union all
  (select p.id, p.space_id, p.subspace_id, p.fit, p.captured_at
   from misir.pages_at(%(user_id)s, null, %(as_of)s::timestamptz) p
   where %(as_of)s::timestamptz is not null and p.user_id = %(user_id)s
     and case when %(is_unplaced)s::boolean then p.subspace_id is null else p.fit < %(weak_fit)s::float8 end
     and p.space_id = any(%(space_ids)s)
   order by p.captured_at desc, p.id desc limit %(limit)s)
) w
join misir.artifact a on a.id = w.id and a.user_id = %(user_id)s
join misir.space s on s.id = w.space_id and s.user_id = a.user_id
order by w.captured_at desc, w.id desc;

-- name: count_kinds
-- The artifacts of a space by level, by source, and of those that are in a topic the tenth in which their fit lies.
select a.engagement_level as level, a.content_source as source,
       case when a.subspace_id is not null and a.fit is not null then least(floor(a.fit * 10), 9)::integer end as tenth,
       case when a.subspace_id is null or a.fit is null then null
            when a.fit < %(moderate_fit)s then 'weak' when a.fit < %(strong_fit)s then 'moderate' else 'strong' end as grade,
       count(*) as count, sum(a.fit) as fit_sum
from misir.pages_at(%(user_id)s, %(space_id)s::bigint, %(as_of)s::timestamptz) a
where a.user_id = %(user_id)s
group by 1, 2, 3, 4;

-- name: list_influential
-- What weighs most in some topics of a space (orient/weight.py), and how much of its topic's learning came from it.
with pages as (
  select c.*
  from unnest(%(subspace_ids)s::bigint[]) as h (id)
  cross join lateral (
    select o.id, o.subspace_id, o.engagement_level, o.decay_rate, o.similarity, o.captured_at, o.first_read_at
    from misir.artifact o
    where o.subspace_id = h.id and o.user_id = %(user_id)s and o.space_id = %(space_id)s and o.deleted_at is null
    offset 0 -- topic by topic: all of them at once look as dear to the planner as all of the space
  ) c
)
select w.id, coalesce(a.title, a.url) as title, a.url, w.subspace_id, t.name as subspace_name, w.level, w.weight,
       w.captured_at, case when t.weight_sum > 0 then least(a.taught_weight / t.weight_sum, 1) end as taught_share
from (
  select p.id, p.subspace_id, p.level, p.captured_at,
         misir.page_weight(p.level, p.decay_rate, p.similarity,
                           greatest(tstzrange_subdiff(%(at)s::timestamptz, p.captured_at), 0), %(numbers)s::float8[]) as weight
  from (
    select c.id, c.subspace_id, c.engagement_level as level, c.decay_rate, c.similarity, c.captured_at
    from pages c
    where %(as_of)s::timestamptz is null or c.captured_at <= %(as_of)s::timestamptz
    union all
    select c.id, c.subspace_id, g.engagement_level, c.decay_rate, g.similarity, g.occurred_at
    from pages c
    cross join lateral (
      select s.engagement_level, s.similarity, s.occurred_at from misir.signal s
      where s.user_id = %(user_id)s and s.artifact_id = c.id and s.occurred_at <= %(as_of)s::timestamptz
      order by s.seq desc limit 1
    ) g
    where c.captured_at > %(as_of)s::timestamptz and c.first_read_at <= %(as_of)s::timestamptz -- as misir.pages_at
  ) p
  order by weight desc nulls last, p.id limit %(limit)s
) w
join misir.artifact a on a.id = w.id and a.user_id = %(user_id)s
join misir.subspace t on t.id = w.subspace_id and t.user_id = a.user_id
where w.weight > 0
order by w.weight desc, w.id;

-- name: count_weeks
-- Of a space, by week: distinct artifacts read, and how clearly those that were placed then fitted.
select r.week, count(*) as artifact_count, sum(r.fit_sum) / nullif(sum(r.fitted_count), 0) as clarity,
       sum(r.fitted_count)::bigint as fitted_count
from (
  select a.id, date_trunc('week', g.occurred_at at time zone %(timezone)s::text)::date as week,
         sum(g.fit) filter (where g.subspace_id is not null) as fit_sum,
         count(g.fit) filter (where g.subspace_id is not null) as fitted_count
  from misir.signal g
  join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
  where g.user_id = %(user_id)s and a.space_id = %(space_id)s and a.captured_at >= %(since)s::timestamptz
    and g.occurred_at >= %(since)s::timestamptz and g.occurred_at <= %(at)s::timestamptz
  group by 1, 2
) r
group by r.week;

-- name: sum_focus
-- Of a space, by week: by how much the confidence of its topics, weighted by their artifacts, had changed in all by
-- then. A topic counts from its third artifact on. How it stood before `first` is where it begins.
with seen as (
  select s.subspace_id, s.day, s.confidence, s.artifact_count
  from misir.subspace t
  join misir.subspace_snapshot s on s.subspace_id = t.id and s.user_id = t.user_id
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
    and s.day >= %(first)s::date and s.day <= (%(at)s::timestamptz at time zone 'UTC')::date
  union all
  select t.id, b.day, b.confidence, b.artifact_count
  from misir.subspace t
  cross join lateral (
    select s.day, s.confidence, s.artifact_count from misir.subspace_snapshot s
    where s.subspace_id = t.id and s.user_id = t.user_id and s.day < %(first)s::date
      and s.day <= (%(at)s::timestamptz at time zone 'UTC')::date
    order by s.day desc limit 1
  ) b
  where t.user_id = %(user_id)s and t.space_id = %(space_id)s and t.deleted_at is null
),
steps as (
  select greatest(s.day, %(first)s::date - 1) as day,
         n.own * s.confidence - lag(n.own * s.confidence, 1, 0::float8) over w as focus_change,
         n.own - lag(n.own, 1, 0) over w as count_change
  from seen s
  cross join lateral (select case when s.artifact_count >= %(min_artifacts)s then s.artifact_count else 0 end as own) n
  window w as (partition by s.subspace_id order by s.day)
)
select date_trunc('week', day::timestamp)::date as week, sum(sum(focus_change)) over so_far as focus_sum,
       sum(sum(count_change)) over so_far as artifact_count
from steps
group by 1
window so_far as (order by date_trunc('week', day::timestamp)::date);
