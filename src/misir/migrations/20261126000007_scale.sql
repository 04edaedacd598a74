-- Large libraries: the vectors and the log are kept in parts, by user, so that what one user reads lies closer together
-- and each vector index is of a part. Which part is a hash of user_id; row level security is on the whole and, with no
-- policy at all, on each part, which nobody is granted. `misir migrate` adds the vector index (plumbing/migrate.py).

-- How many vectors a user has, to choose between exact scan and index without counting: kept with next_seq.
alter table misir.space add column embedding_count bigint not null default 0;
update misir.space s set embedding_count = n.n
from (
  select a.space_id, count(*) as n from misir.embedding e join misir.artifact a on a.id = e.artifact_id group by a.space_id
) n
where n.space_id = s.id;

drop view misir.lesson, misir.placement;
alter table misir.drift_event drop constraint drift_event_trigger_signal_id_user_id_fkey;
alter table misir.signal rename to signal_before;
alter table misir.embedding rename to embedding_before;
alter sequence misir.signal_id_seq rename to signal_before_id_seq;
alter sequence misir.embedding_id_seq rename to embedding_before_id_seq;

-- ---- vectors ----------------------------------------------------------------------------------------------------

-- A partitioned table has no identity column before PostgreSQL 17: these ids come from sequences of their own.
create sequence misir.embedding_id_seq;
create table misir.embedding (
  id bigint not null default nextval('misir.embedding_id_seq'),
  user_id uuid not null,
  artifact_id bigint not null,
  model text not null,
  content_hash bytea not null,
  vector halfvec not null,
  fraction double precision not null check (fraction between 0 and 1),
  created_at timestamptz not null default now(),
  constraint embedding_key primary key (id, user_id),
  constraint embedding_of_text unique (user_id, artifact_id, model, content_hash),
  constraint embedding_artifact_id_user_id_fkey foreign key (artifact_id, user_id) references misir.artifact (id, user_id)
    on delete cascade
) partition by hash (user_id);
alter sequence misir.embedding_id_seq owned by misir.embedding.id;

-- ---- the log ----------------------------------------------------------------------------------------------------

create sequence misir.signal_id_seq;
create table misir.signal (
  id bigint not null default nextval('misir.signal_id_seq'),
  user_id uuid not null,
  space_id bigint not null,
  artifact_id bigint not null,
  subspace_id bigint,
  embedding_id bigint,
  session_id bigint,
  seq bigint not null,
  event_hash bytea not null, -- what the client said happened; the same within 24 h is the same event
  payload_hash bytea not null, -- event_hash and its time
  type misir.signal_type not null default 'semantic',
  magnitude double precision not null default 1 check (magnitude between 0 and 1),
  engagement_level misir.engagement_level not null,
  base_weight double precision not null,
  taught_weight double precision not null default 0 check (taught_weight >= 0),
  updates_centroid boolean not null default false,
  similarity double precision,
  raw_margin double precision,
  probability double precision,
  fit double precision,
  assigned_by misir.assigned_by,
  matched_marker_ids bigint[] not null default '{}',
  config_version integer not null,
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  client_teaches boolean not null default true,
  none_probability double precision check (none_probability between 0 and 1),
  candidates jsonb not null default '[]',
  candidate_count integer not null default 0,
  withheld text[] not null default '{}',
  constraint signal_key primary key (id, user_id),
  constraint signal_place unique (user_id, space_id, seq),
  constraint signal_event unique (user_id, artifact_id, payload_hash),
  constraint signal_space_id_user_id_fkey foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  constraint signal_artifact_id_user_id_fkey foreign key (artifact_id, user_id) references misir.artifact (id, user_id)
    on delete cascade,
  constraint signal_subspace_id_user_id_fkey foreign key (subspace_id, user_id) references misir.subspace (id, user_id)
    on delete set null (subspace_id),
  constraint signal_embedding_id_user_id_fkey foreign key (embedding_id, user_id) references misir.embedding (id, user_id)
    on delete set null (embedding_id),
  constraint signal_session_id_user_id_fkey foreign key (session_id, user_id) references misir.session (id, user_id)
    on delete set null (session_id)
) partition by hash (user_id);
alter sequence misir.signal_id_seq owned by misir.signal.id;

-- ---- their parts ------------------------------------------------------------------------------------------------

do $$
declare
  whole text;
  part text;
begin
  -- The vectors are as long as the installed model's, where one is installed.
  execute format('alter table misir.embedding alter column vector type %s', (
    select format_type(atttypid, atttypmod) from pg_attribute
    where attrelid = 'misir.embedding_before'::regclass and attname = 'vector'));
  foreach whole in array array['embedding', 'signal'] loop
    for number in 0..7 loop
      part := format('%s_part_%s', whole, number);
      execute format('create table misir.%I partition of misir.%I for values with (modulus 8, remainder %s)',
                     part, whole, number);
      execute format('alter table misir.%I enable row level security', part);
      execute format('alter table misir.%I force row level security', part);
    end loop;
    execute format('alter table misir.%I enable row level security', whole);
    execute format('alter table misir.%I force row level security', whole);
    execute format('create policy own_select on misir.%I for select to misir_app using (user_id = (select auth.uid()))', whole);
    execute format('create policy own_insert on misir.%I for insert to misir_app with check (user_id = (select auth.uid()))', whole);
    execute format('create policy own_update on misir.%I for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', whole);
    execute format('create policy own_delete on misir.%I for delete to misir_app using (user_id = (select auth.uid()))', whole);
  end loop;
end $$;

-- By user, so that a user's rows are written next to each other.
insert into misir.embedding (id, user_id, artifact_id, model, content_hash, vector, fraction, created_at)
select id, user_id, artifact_id, model, content_hash, vector, fraction, created_at
from misir.embedding_before order by user_id, id;

insert into misir.signal (
  id, user_id, space_id, artifact_id, subspace_id, embedding_id, session_id, seq, event_hash, payload_hash, type,
  magnitude, engagement_level, base_weight, taught_weight, updates_centroid, similarity, raw_margin, probability, fit,
  assigned_by, matched_marker_ids, config_version, occurred_at, created_at, client_teaches, none_probability,
  candidates, candidate_count, withheld)
select
  id, user_id, space_id, artifact_id, subspace_id, embedding_id, session_id, seq, event_hash, payload_hash, type,
  magnitude, engagement_level, base_weight, taught_weight, updates_centroid, similarity, raw_margin, probability, fit,
  assigned_by, matched_marker_ids, config_version, occurred_at, created_at, client_teaches, none_probability,
  candidates, candidate_count, withheld
from misir.signal_before order by user_id, id;
do $$
begin
  perform setval('misir.embedding_id_seq', nextval('misir.embedding_before_id_seq'), false);
  perform setval('misir.signal_id_seq', nextval('misir.signal_before_id_seq'), false);
end $$;

drop table misir.signal_before;
drop table misir.embedding_before;

create index signal_by_event on misir.signal (artifact_id, event_hash, created_at desc);
create index signal_by_subspace on misir.signal (subspace_id, seq);
create index signal_by_embedding on misir.signal (embedding_id);

alter table misir.drift_event add constraint drift_event_trigger_signal_id_user_id_fkey foreign key (trigger_signal_id, user_id)
  references misir.signal (id, user_id) on delete set null (trigger_signal_id);

-- ---- the views on them, as they were ----------------------------------------------------------------------------

-- Every signal with the topic it belongs to now: the one it was decided for, or where the last correction that
-- still stands put its artifact. `position` is its place in its space's order; what came from another space counts
-- from its arrival. Deleted artifacts are not there: they never were.
create view misir.lesson with (security_invoker = true) as
select g.user_id, a.space_id, g.id as signal_id, g.artifact_id, g.embedding_id, g.base_weight, g.occurred_at,
       case when m.correction_id is null then g.subspace_id else m.to_subspace_id end as subspace_id,
       case when m.teaches is null then g.updates_centroid
            else m.teaches and (g.client_teaches or m.assigned_by = 'user') end as may_teach,
       case when g.space_id = a.space_id then g.seq else m.seq end as position,
       a.subspace_id as artifact_subspace_id
from misir.signal g
join misir.artifact a on a.id = g.artifact_id and a.user_id = g.user_id and a.deleted_at is null
left join lateral (
  select v.correction_id, v.to_subspace_id, v.teaches, v.assigned_by, v.seq
  from misir.correction_move v
  where v.artifact_id = g.artifact_id and v.user_id = g.user_id and v.space_id = a.space_id
    and (g.space_id <> a.space_id or v.seq > g.seq)
    and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
  order by v.seq desc limit 1
) m on true;

-- Where the log says that each artifact is, in the space it is in: its last signal there, or the last correction
-- after that which still stands.
create view misir.placement with (security_invoker = true) as
select a.id as artifact_id, a.user_id, a.space_id,
       case when m.seq > coalesce(g.seq, 0) then m.to_subspace_id else g.subspace_id end as subspace_id,
       case when m.seq > coalesce(g.seq, 0) then m.assigned_by else g.assigned_by end as assigned_by
from misir.artifact a
left join lateral (
  select s.seq, s.subspace_id, s.assigned_by from misir.signal s
  where s.artifact_id = a.id and s.user_id = a.user_id and s.space_id = a.space_id order by s.seq desc limit 1
) g on true
left join lateral (
  select v.seq, v.to_subspace_id, v.assigned_by from misir.correction_move v
  where v.artifact_id = a.id and v.user_id = a.user_id and v.space_id = a.space_id
    and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
  order by v.seq desc limit 1
) m on true;

-- ---- the keyword leg, by its index where that is worth it --------------------------------------------------------

grant select on misir.space to misir_definer;

create or replace function misir.keyword_hits(q text, k integer, filters jsonb default '{}')
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
  size as (
    select coalesce(sum(s.embedding_count), 0) > 3000 as is_large from misir.space s where s.user_id = (select auth.uid())
  ),
  -- A library of some thousand pages is read through; in a larger one the index says which pages have a word. Three
  -- look-ups, because an index cannot serve an "or" with a list of topics in it. The sizes never change what is found.
  matched as (
    select a.id from misir.artifact a cross join asked
    where not (select is_large from size) and a.user_id = (select auth.uid()) and a.deleted_at is null
      and (a.search @@ asked.any_word or a.search @@ asked.every_word
           or a.subspace_id in (select subspace_id from topics))
    union
    select a.id from misir.artifact a cross join asked
    where (select is_large from size) and a.user_id = (select auth.uid()) and a.search @@ asked.any_word
    union
    select a.id from misir.artifact a cross join asked
    where (select is_large from size) and a.user_id = (select auth.uid()) and a.search @@ asked.every_word
    union
    select a.id from misir.artifact a join topics on topics.subspace_id = a.subspace_id
    where (select is_large from size) and a.user_id = (select auth.uid())
  ),
  hits as (
    select a.id, a.captured_at,
           case when a.search @@ asked.every_word then 1 + ts_rank_cd('{0.05, 0.1, 0.4, 1.0}', a.search, asked.every_word, 4)
                when a.search @@ asked.any_word then ts_rank('{0.05, 0.1, 0.4, 1.0}', a.search, asked.any_word, 1)
                else 0 end as rank,
           -- "csv" and "csv.DictReader" are names; so is "DictReader", the last part of one.
           lower(btrim(a.title)) = lower(btrim(q)) or '.' || lower(btrim(q)) = right(lower(btrim(a.title)), length(btrim(q)) + 1)
             as is_exact
    from matched join misir.artifact a on a.id = matched.id cross join asked
    where a.user_id = (select auth.uid()) and a.deleted_at is null
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

-- ---- who may touch what ------------------------------------------------------------------------------------------

grant select, insert, update, delete on misir.embedding to misir_app;
grant select, insert on misir.signal to misir_app;
grant select on misir.lesson, misir.placement to misir_app;
grant select, insert, update, delete on misir.embedding, misir.signal to misir_service;
grant select on misir.lesson, misir.placement to misir_service;
-- A search's later pages leave out what was captured after the first.
grant select on sequence misir.artifact_id_seq to misir_app;
grant usage on sequence misir.embedding_id_seq, misir.signal_id_seq to misir_app, misir_service;
