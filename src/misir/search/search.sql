-- Search by meaning and by word. Both legs see live artifacts of one user only. What belongs to a hit is looked up by its
-- key ("lateral … limit 1"): a plan made before there were statistics would read the library through for each of them.

-- name: measure_library
-- How many vectors the user has and how many there are, about, without counting; and the newest artifact id given away.
select (select coalesce(sum(embedding_count), 0)::bigint from misir.space where user_id = %(user_id)s) as n_mine,
       (select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'misir.embedding'::regclass) as n_all,
       (select last_value from misir.artifact_id_seq) as newest_id;

-- name: use_vector_index
-- For this transaction: go on reading the index until there are enough rows of the user, and prefer it to sorting.
select set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true),
       set_config('enable_sort', 'off', true);

-- name: prefer_no_index
select set_config('enable_sort', 'on', true);

-- name: nearest_hits
-- Exact, and without looking at pages that are far: the nearest vectors first, then which of them are current. Each
-- distance is computed once ("offset 0" keeps the planner from doing it for the filter and for the order again).
with near as materialized (
  select scanned.artifact_id, scanned.content_hash, scanned.distance
  from (
    select e.artifact_id, e.content_hash, e.vector <=> %(vector)s as distance
    from misir.embedding e
    where e.user_id = %(user_id)s and e.model = %(model)s
    offset 0
  ) scanned
  where scanned.distance <= %(max_distance)s
  order by scanned.distance, scanned.artifact_id desc
  limit %(n_near)s
)
select a.id as artifact_id, 1 - near.distance as similarity, (select count(*) from near) as n_near
from near
cross join lateral (
  select id from misir.artifact
  where id = near.artifact_id and user_id = %(user_id)s and content_hash = near.content_hash and deleted_at is null
  limit 1
) a
order by near.distance, a.id desc
limit %(k)s;

-- name: indexed_hits
-- By the vector index, for a library too large to scan: the nearest, about, and how far they reach.
with near as materialized (
  select e.artifact_id, e.content_hash, e.vector <=> %(vector)s as distance
  from misir.embedding e
  where e.user_id = %(user_id)s and e.model = %(model)s
  order by e.vector <=> %(vector)s
  limit %(n_near)s
)
select a.id as artifact_id, 1 - near.distance as similarity, (select max(distance) from near) as reach
from near
cross join lateral (
  select a.id from misir.artifact a
  where a.id = near.artifact_id and a.user_id = %(user_id)s and a.content_hash = near.content_hash
    and a.deleted_at is null
    and (%(space_ids)s::bigint[] is null or a.space_id = any(%(space_ids)s::bigint[]))
    and (%(subspace_id)s::bigint is null or a.subspace_id = %(subspace_id)s::bigint)
    and (%(source)s::text is null or a.content_source::text = %(source)s::text)
    and (%(domain)s::text is null or a.domain = %(domain)s::text)
    and (%(engagement_level)s::text is null or a.engagement_level::text = %(engagement_level)s::text)
    and (%(from_at)s::timestamptz is null or a.captured_at >= %(from_at)s::timestamptz)
    and (%(to_at)s::timestamptz is null or a.captured_at < %(to_at)s::timestamptz)
  limit 1
) a
order by near.distance + 0, a.id desc
limit %(k)s;

-- name: semantic_hits
-- Exact, of every current vector of the user that the filters let through ("+ 0" keeps the planner from the index).
select a.id as artifact_id, 1 - (e.vector <=> %(vector)s) as similarity
from misir.embedding e
join misir.artifact a on a.id = e.artifact_id and a.user_id = e.user_id and a.content_hash = e.content_hash
where e.user_id = %(user_id)s and e.model = %(model)s and a.deleted_at is null
  and exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null)
  and (e.vector <=> %(vector)s) <= %(max_distance)s
  and (%(space_ids)s::bigint[] is null or a.space_id = any(%(space_ids)s::bigint[]))
  and (%(subspace_id)s::bigint is null or a.subspace_id = %(subspace_id)s::bigint)
  and (%(source)s::text is null or a.content_source::text = %(source)s::text)
  and (%(domain)s::text is null or a.domain = %(domain)s::text)
  and (%(engagement_level)s::text is null or a.engagement_level::text = %(engagement_level)s::text)
  and (%(from_at)s::timestamptz is null or a.captured_at >= %(from_at)s::timestamptz)
  and (%(to_at)s::timestamptz is null or a.captured_at < %(to_at)s::timestamptz)
order by (e.vector <=> %(vector)s) + 0, a.id desc
limit %(k)s;

-- name: keyword_hits
-- The function reads past row level security, and asks auth.uid() itself whose rows it may see. An exact name is
-- a title's last part, or, which is better, the whole title.
select h.artifact_id, h.rank, h.is_exact, h.is_exact and lower(btrim(a.title)) = lower(btrim(%(q)s)) as is_title
from misir.keyword_hits(%(q)s, %(k)s, %(filters)s) h
join misir.artifact a on a.id = h.artifact_id and a.user_id = %(user_id)s
where exists (select 1 from misir.space s where s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null);

-- name: load_hits
-- What is shown of each hit. The marks around found words are control characters until they are escaped. Reading a page
-- for them is most of the cost: one without any of the words is not read, and others first at their beginning.
with asked as materialized (
  select replace(plainto_tsquery('english', %(q)s)::text, '&', '|')::tsquery as any_word,
         'MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=' || chr(1)
         || ', StartSel=' || chr(2) || ', StopSel=' || chr(3) as marks
)
select a.id as artifact_id, g.id as signal_id, a.title, a.url, left(a.content, 300) as content_preview,
       case when a.content is not null and a.search @@ asked.any_word then (
         select case when position(chr(2) in begun.headline) > 0 or length(a.content) <= 2000 then begun.headline
                     else ts_headline('english', left(a.content, 20000), asked.any_word, asked.marks) end
         from (select ts_headline('english', left(a.content, 2000), asked.any_word, asked.marks) as headline offset 0) begun
       ) end as headline,
       a.space_id, s.name as space_name, a.subspace_id, a.engagement_level, a.dwell_time_ms, a.captured_at,
       case when %(vector)s::halfvec is null then null else 1 - (e.vector <=> %(vector)s::halfvec) end as similarity
from asked
cross join unnest(%(artifact_ids)s::bigint[]) wanted (id)
cross join lateral (select * from misir.artifact where id = wanted.id and user_id = %(user_id)s limit 1) a
join misir.space s on s.id = a.space_id and s.user_id = %(user_id)s and s.deleted_at is null
left join lateral (
  select vector from misir.embedding
  where user_id = %(user_id)s and artifact_id = a.id and model = %(model)s and content_hash = a.content_hash
  limit 1
) e on true
left join lateral (
  select max(id + 0) as id from misir.signal where user_id = %(user_id)s and artifact_id = a.id -- the artifact's index
) g on true;
