-- Insights that are kept, and spaces that can be purged without touching what moved out of them.

create type misir.insight_severity as enum ('low', 'medium', 'high', 'critical');
create type misir.insight_status as enum ('active', 'dismissed', 'acted', 'snoozed', 'expired');

-- One row per cause. dedupe_key names the cause within a user's library; the same cause is the same row, however
-- often it is found. quiet_until: until then a dismissed, acted or snoozed insight is not raised again.
create table misir.insight (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  subspace_id bigint,
  rule text not null,
  dedupe_key text not null,
  category text not null,
  headline text not null,
  description text not null,
  severity misir.insight_severity not null,
  status misir.insight_status not null default 'active',
  trigger_value double precision,
  artifact_ids bigint[] not null default '{}',
  evidence jsonb not null default '{}',
  actions jsonb not null default '[]',
  quiet_until timestamptz,
  dismissed_at timestamptz,
  acted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id),
  unique (user_id, dedupe_key),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete cascade
);
create index insight_newest on misir.insight (user_id, created_at desc, id desc);
create index insight_by_space on misir.insight (space_id);
create index insight_by_subspace on misir.insight (subspace_id);
create trigger touch before update on misir.insight for each row execute function misir.touch();

alter table misir.insight enable row level security;
alter table misir.insight force row level security;
create policy own_select on misir.insight for select to misir_app using (user_id = (select auth.uid()));
create policy own_insert on misir.insight for insert to misir_app with check (user_id = (select auth.uid()));
create policy own_update on misir.insight for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy own_delete on misir.insight for delete to misir_app using (user_id = (select auth.uid()));
grant select, insert, update, delete on misir.insight to misir_app, misir_service;
grant usage on all sequences in schema misir to misir_app, misir_service;

-- The end of an account takes these along, too.
grant delete on misir.webhook_event, misir.job to misir_app;

-- ---- purge ----------------------------------------------------------------------------------------------------

-- A page that moved to another space goes on teaching there with what was read of it here. So a signal outlives the
-- space it was captured in as long as its artifact does: it then has no space, and counts from the page's arrival.
alter table misir.signal alter column space_id drop not null;
alter table misir.signal drop constraint signal_space_id_user_id_fkey;
alter table misir.signal add foreign key (space_id, user_id) references misir.space (id, user_id)
  on delete set null (space_id);

create or replace view misir.lesson with (security_invoker = true) as
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
    and (g.space_id is distinct from a.space_id or v.seq > g.seq)
    and not exists (select 1 from misir.correction u where u.undoes = v.correction_id and u.user_id = v.user_id)
  order by v.seq desc limit 1
) m on true;

-- What a deletion looks up, once for every row that goes.
create index if not exists signal_by_embedding on misir.signal (embedding_id);
create index signal_by_session on misir.signal (session_id) where session_id is not null;
create index drift_event_by_signal on misir.drift_event (trigger_signal_id) where trigger_signal_id is not null;
create index correction_move_by_origin on misir.correction_move (from_subspace_id) where from_subspace_id is not null;

-- What the rules look at: what was read in a space lately.
create index signal_by_reading on misir.signal (space_id, occurred_at desc);
