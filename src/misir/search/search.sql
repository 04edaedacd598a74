-- Search by meaning and by word. Both legs see live artifacts of one user only.

-- name: semantic_hits
-- Exact scan of the user's own vectors ("+ 0" keeps the planner from a global index): recall 1.
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
-- What is shown of each hit. The marks around found words are control characters until they are escaped.
select a.id as artifact_id, g.id as signal_id, a.title, a.url, left(a.content, 300) as content_preview,
       case when a.content is not null then
         ts_headline('english', left(a.content, 20000),
                     replace(plainto_tsquery('english', %(q)s)::text, '&', '|')::tsquery, -- any of the words
                     'MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=' || chr(1)
                     || ', StartSel=' || chr(2) || ', StopSel=' || chr(3))
       end as headline,
       a.space_id, s.name as space_name, a.subspace_id, a.engagement_level, a.dwell_time_ms, a.captured_at,
       case when %(vector)s::halfvec is null then null else 1 - (e.vector <=> %(vector)s::halfvec) end as similarity
from misir.artifact a
join misir.space s on s.id = a.space_id and s.user_id = a.user_id
left join misir.embedding e
  on e.artifact_id = a.id and e.user_id = a.user_id and e.content_hash = a.content_hash and e.model = %(model)s
left join lateral (
  select id from misir.signal where artifact_id = a.id and user_id = a.user_id order by id desc limit 1
) g on true
where a.user_id = %(user_id)s and a.id = any(%(artifact_ids)s) and s.deleted_at is null;
