-- What survives a crash: jobs of every kind, the outbox of events and their deliveries, captures that wait for the
-- model, and what is forgotten after a time.

-- ---- webhooks -------------------------------------------------------------------------------------------------

-- An address that wants to hear of events; no event types means all. Secrets are sealed with MISIR_SECRET_KEY.
-- failing_since: its last attempt failed, and none succeeded since. disabled_*: nothing is sent any more, and why.
create table misir.webhook_endpoint (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  url text not null check (length(url) between 1 and 2048),
  description text,
  events text[] not null default '{}',
  secret bytea not null,
  old_secret bytea,
  old_secret_until timestamptz,
  failing_since timestamptz,
  disabled_at timestamptz,
  disabled_reason text check (disabled_reason in ('user', 'gone', 'failing')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id),
  check ((disabled_at is null) = (disabled_reason is null))
);
create index webhook_endpoint_by_user on misir.webhook_endpoint (user_id);
create trigger touch before update on misir.webhook_endpoint for each row execute function misir.touch();

-- The outbox: written in the transaction that causes the event, where somebody listens. uid names it to receivers.
create table misir.webhook_event (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  uid uuid not null default gen_random_uuid(),
  type text not null,
  data jsonb not null,
  created_at timestamptz not null default now(),
  unique (id, user_id)
);
create index webhook_event_by_age on misir.webhook_event (created_at);

-- An event on its way to one endpoint. next_attempt_at is null when it is settled: delivered or given up.
create table misir.webhook_delivery (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  endpoint_id bigint not null,
  event_id bigint not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempt_count integer not null default 0 check (attempt_count >= 0), -- of this round: a redelivery begins another
  next_attempt_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null default now(),
  unique (id, user_id),
  check ((state = 'pending') = (next_attempt_at is not null)),
  foreign key (endpoint_id, user_id) references misir.webhook_endpoint (id, user_id) on delete cascade,
  foreign key (event_id, user_id) references misir.webhook_event (id, user_id) on delete cascade
);
create index webhook_delivery_due on misir.webhook_delivery (endpoint_id, next_attempt_at) where state = 'pending';
create index webhook_delivery_newest on misir.webhook_delivery (endpoint_id, id desc);
create index webhook_delivery_by_event on misir.webhook_delivery (event_id);

-- One try: what the receiver answered, or why there was no answer. Never what it said.
create table misir.webhook_attempt (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  delivery_id bigint not null,
  number integer not null,
  status smallint,
  error text,
  duration_ms integer not null check (duration_ms >= 0),
  attempted_at timestamptz not null,
  foreign key (delivery_id, user_id) references misir.webhook_delivery (id, user_id) on delete cascade
);
create index webhook_attempt_by_delivery on misir.webhook_attempt (delivery_id, id);

-- ---- captures that wait for a vector --------------------------------------------------------------------------

-- Taken in while the model was away, in the order they came; gone in the transaction that gives them their signal.
create table misir.pending_capture (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  artifact_id bigint not null,
  event_hash bytea not null,
  request jsonb not null,
  error text, -- why it could not be placed, for its owner
  received_at timestamptz not null,
  unique (id, user_id),
  unique (artifact_id, event_hash),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (artifact_id, user_id) references misir.artifact (id, user_id) on delete cascade
);
create index pending_capture_by_space on misir.pending_capture (space_id, id);
create index pending_capture_by_user on misir.pending_capture (user_id);

-- ---- jobs of every kind ---------------------------------------------------------------------------------------

-- Work for a space, an endpoint, a user, or (user 0) the whole deployment. lease names who is at it: only that one
-- may finish it. cancelled_at: rests until it is retried, or new work is left for it.
alter table misir.job drop constraint job_kind_check;
alter table misir.job drop constraint job_user_id_space_id_kind_key;
alter table misir.job
  alter column space_id drop not null,
  add column endpoint_id bigint,
  add column lease uuid,
  add column cancelled_at timestamptz,
  add constraint job_kind_check check (kind in ('reflect', 'embed', 'deliver', 'retain', 'sweep')),
  add constraint job_once unique nulls not distinct (user_id, kind, space_id, endpoint_id),
  add foreign key (endpoint_id, user_id) references misir.webhook_endpoint (id, user_id) on delete cascade;

-- The deployment's own work belongs to nobody: no user has this id.
insert into misir.job (user_id, kind, run_at)
values ('00000000-0000-0000-0000-000000000000', 'sweep', now() + interval '10 minutes');

-- ---- what is forgotten after a time ---------------------------------------------------------------------------

create index idempotency_key_by_age on misir.idempotency_key (created_at);
create index artifact_trashed on misir.artifact (deleted_at) where deleted_at is not null;
create index space_trashed on misir.space (deleted_at) where deleted_at is not null;
-- Purging an artifact lets go of its vectors, and each of those asks which signals were decided on it.
create index if not exists signal_by_embedding on misir.signal (embedding_id);

-- ---- who may touch what ---------------------------------------------------------------------------------------

do $$
declare
  target text;
begin
  foreach target in array array['webhook_endpoint', 'webhook_event', 'webhook_delivery', 'webhook_attempt',
                                'pending_capture'] loop
    execute format('alter table misir.%I enable row level security', target);
    execute format('alter table misir.%I force row level security', target);
    execute format('create policy own_select on misir.%I for select to misir_app using (user_id = (select auth.uid()))', target);
    execute format('create policy own_insert on misir.%I for insert to misir_app with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_update on misir.%I for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_delete on misir.%I for delete to misir_app using (user_id = (select auth.uid()))', target);
    execute format('grant select, insert, update, delete on misir.%I to misir_service', target);
  end loop;
end $$;

grant select, insert, update, delete on misir.webhook_endpoint to misir_app;
-- Events are written once; deliveries change when their owner wants one again; attempts are the worker's word.
grant select, insert on misir.webhook_event to misir_app;
grant select, insert, update on misir.webhook_delivery to misir_app;
grant select on misir.webhook_attempt to misir_app;
-- A worker takes captures in as their user, and lets go of them in the same transaction.
grant select, insert, delete on misir.pending_capture to misir_app;
grant usage on all sequences in schema misir to misir_app, misir_service;
