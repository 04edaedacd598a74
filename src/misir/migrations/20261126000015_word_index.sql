-- The word index of each user apart: a look-up reads the postings of one user's pages, however many others there are
-- and however small the library is, so that nothing is read through any more. An exact search of 2,900 pages by
-- six common words took 360 ms and takes 26.

do $$
begin
  if not exists (select from pg_extension where extname = 'btree_gin') then
    if exists (select from pg_namespace where nspname = 'extensions') then
      create extension btree_gin with schema extensions;
    else
      create extension btree_gin with schema public;
    end if;
  end if;
end $$;

drop index misir.artifact_search;
create index artifact_search on misir.artifact using gin (user_id, search);

create or replace function misir.keyword_hits(q text, k integer, filters jsonb default '{}')
returns table (artifact_id bigint, rank real, is_exact boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with asked as materialized (
    select websearch_to_tsquery('english', q) || websearch_to_tsquery('simple', q)
           || plainto_tsquery('simple', regexp_replace(q, '[^[:alnum:]_]+', ' ', 'g')) as every_word,
           replace(plainto_tsquery('english', q)::text, '&', '|')::tsquery as any_word
  ),
  topics as (
    select distinct sm.subspace_id from misir.marker m
    join misir.subspace_marker sm on sm.marker_id = m.id
    cross join asked
    where m.user_id = (select auth.uid()) and to_tsvector('english', m.label) @@ asked.every_word
  ),
  -- Three look-ups, because an index cannot serve an "or" with a list of topics in it.
  matched as materialized (
    select a.id from misir.artifact a
    where a.user_id = (select auth.uid()) and a.search @@ (select any_word from asked)
    union
    select a.id from misir.artifact a
    where a.user_id = (select auth.uid()) and a.search @@ (select every_word from asked)
    union
    select a.id from topics join misir.artifact a on a.subspace_id = topics.subspace_id
    where a.user_id = (select auth.uid())
  ),
  hits as (
    select a.id,
           case when a.search @@ asked.every_word then 1 + ts_rank_cd('{0.05, 0.1, 0.4, 1.0}', a.search, asked.every_word, 4)
                when a.search @@ asked.any_word then ts_rank('{0.05, 0.1, 0.4, 1.0}', a.search, asked.any_word, 1)
                else 0 end as rank,
           -- "csv" and "csv.DictReader" are names; so is "DictReader", the last part of one.
           lower(btrim(a.title)) = lower(btrim(q)) or '.' || lower(btrim(q)) = right(lower(btrim(a.title)), length(btrim(q)) + 1)
             as is_exact
    from matched cross join asked cross join lateral (
      select a.id, a.title, a.search from misir.artifact a
      where a.id = matched.id and a.deleted_at is null
        and (filters -> 'space_ids' is null or filters -> 'space_ids' @> to_jsonb(a.space_id))
        and (filters -> 'subspace_id' is null or a.subspace_id = (filters ->> 'subspace_id')::bigint)
        and (filters -> 'source' is null or a.content_source::text = filters ->> 'source')
        and (filters -> 'domain' is null or a.domain = filters ->> 'domain')
        and (filters -> 'engagement_level' is null or a.engagement_level::text = filters ->> 'engagement_level')
        and (filters -> 'from' is null or a.captured_at >= (filters ->> 'from')::timestamptz)
        and (filters -> 'to' is null or a.captured_at < (filters ->> 'to')::timestamptz)
      offset 0 -- keeps it a look-up by id: joined the other way round, each page would meet every match
    ) a
  )
  select id, rank::real, coalesce(is_exact, false)
  from hits
  order by 3 desc, 2 desc, id desc
  limit least(greatest(k, 0), 1000)
$$;
