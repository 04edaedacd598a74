-- The keyword leg of search. Under forced row level security PostgreSQL will not use a full-text index, because
-- @@ is not leakproof. This function reads past the policies, and so says itself whose rows it may see: it takes
-- no user, asks auth.uid(), and is owned by a role that can read these tables and nothing else.

grant select on misir.artifact, misir.subspace_marker, misir.marker to misir_definer;

create function misir.keyword_hits(q text, k integer, filters jsonb default '{}')
returns table (artifact_id bigint, rank real, is_exact boolean)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with asked as (
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
  hits as (
    select a.id, a.captured_at,
           case when a.search @@ asked.every_word then 1 + ts_rank_cd('{0.05, 0.1, 0.4, 1.0}', a.search, asked.every_word, 4)
                when a.search @@ asked.any_word then ts_rank('{0.05, 0.1, 0.4, 1.0}', a.search, asked.any_word, 1)
                else 0 end as rank,
           -- "csv" and "csv.DictReader" are names; so is "DictReader", the last part of one.
           lower(btrim(a.title)) = lower(btrim(q)) or '.' || lower(btrim(q)) = right(lower(btrim(a.title)), length(btrim(q)) + 1)
             as is_exact
    from misir.artifact a cross join asked
    where a.user_id = (select auth.uid()) and a.deleted_at is null
      and (a.search @@ asked.any_word or a.search @@ asked.every_word
           or a.subspace_id in (select subspace_id from topics))
      and (filters -> 'space_ids' is null or filters -> 'space_ids' @> to_jsonb(a.space_id))
      and (filters -> 'subspace_id' is null or a.subspace_id = (filters ->> 'subspace_id')::bigint)
      and (filters -> 'source' is null or a.content_source::text = filters ->> 'source')
      and (filters -> 'domain' is null or a.domain = filters ->> 'domain')
      and (filters -> 'engagement_level' is null or a.engagement_level::text = filters ->> 'engagement_level')
      and (filters -> 'from' is null or a.captured_at >= (filters ->> 'from')::timestamptz)
      and (filters -> 'to' is null or a.captured_at < (filters ->> 'to')::timestamptz)
  )
  select id, rank::real, coalesce(is_exact, false)
  from hits
  order by 3 desc, 2 desc, id desc
  limit least(greatest(k, 0), 1000)
$$;

revoke all on function misir.keyword_hits(text, integer, jsonb) from public;
grant execute on function misir.keyword_hits(text, integer, jsonb) to misir_app;

do $$
begin
  -- Who creates a role may administer it, but may not act as it until it says so.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant misir_definer to %I', current_user);
  end if;
  grant create on schema misir to misir_definer;
  alter function misir.keyword_hits(text, integer, jsonb) owner to misir_definer;
  revoke create on schema misir from misir_definer;
end $$;
