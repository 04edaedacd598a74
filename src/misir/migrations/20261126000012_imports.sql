-- Imports: files that are taken in by the worker, line by line, so that it may die at any of them.

-- One file on its way into the library. `position` is how many of its entries are settled; it moves in the transaction
-- that counts them. occurred_at is the time of what has none of its own, so that an entry read twice is one event.
create table misir.import_run (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint,
  file_name text not null check (length(file_name) between 1 and 255),
  file_bytes bigint not null check (file_bytes >= 0),
  format text not null,
  is_fetching boolean not null default false,
  state text not null default 'waiting'
    check (state in ('waiting', 'running', 'fetching', 'done', 'failed', 'undoing', 'undone')),
  total integer,
  position integer not null default 0,
  new_count integer not null default 0,
  known_count integer not null default 0,
  skipped_count integer not null default 0,
  failed_count integer not null default 0,
  fetched_count integer not null default 0,
  undone_count integer not null default 0,
  error text,
  occurred_at timestamptz not null,
  finished_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);
create index import_run_by_user on misir.import_run (user_id, id desc);
create trigger touch before update on misir.import_run for each row execute function misir.touch();

-- The file itself, in pieces: the worker may run on another machine than the one that took it. Gone when it is read.
create table misir.import_file (
  user_id uuid not null,
  import_id bigint not null,
  number integer not null,
  data bytea not null,
  primary key (user_id, import_id, number),
  foreign key (import_id, user_id) references misir.import_run (id, user_id) on delete cascade
);

-- What became of each entry. needs_text: it came with a title only; text_signal_id: the signal its fetched text made.
create table misir.import_item (
  user_id uuid not null,
  import_id bigint not null,
  position integer not null,
  outcome text not null check (outcome in ('new', 'known', 'skipped', 'failed')),
  artifact_id bigint,
  signal_id bigint,
  text_signal_id bigint,
  needs_text boolean not null default false,
  url text,
  error text,
  primary key (user_id, import_id, position),
  foreign key (import_id, user_id) references misir.import_run (id, user_id) on delete cascade,
  foreign key (artifact_id, user_id) references misir.artifact (id, user_id) on delete cascade
);
create index import_item_by_artifact on misir.import_item (artifact_id) where artifact_id is not null;
create index import_item_without_text on misir.import_item (import_id, position) where needs_text;

-- Which row of an export of ours became which row here.
create table misir.import_ref (
  user_id uuid not null,
  import_id bigint not null,
  kind text not null,
  old_id bigint not null,
  new_id bigint not null,
  primary key (user_id, import_id, kind, old_id),
  foreign key (import_id, user_id) references misir.import_run (id, user_id) on delete cascade
);
create index import_ref_by_new on misir.import_ref (import_id, kind, new_id);

alter table misir.job drop constraint job_kind_check;
alter table misir.job add constraint job_kind_check
  check (kind in ('reflect', 'embed', 'deliver', 'retain', 'sweep', 'import'));

do $$
declare
  target text;
begin
  foreach target in array array['import_run', 'import_file', 'import_item', 'import_ref'] loop
    execute format('alter table misir.%I enable row level security', target);
    execute format('alter table misir.%I force row level security', target);
    execute format('create policy own_select on misir.%I for select to misir_app using (user_id = (select auth.uid()))', target);
    execute format('create policy own_insert on misir.%I for insert to misir_app with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_update on misir.%I for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', target);
    execute format('create policy own_delete on misir.%I for delete to misir_app using (user_id = (select auth.uid()))', target);
    execute format('grant select, insert, update, delete on misir.%I to misir_service', target);
  end loop;
end $$;

grant select, insert, update, delete on misir.import_run to misir_app;
grant select, insert, update on misir.import_item to misir_app;
grant select, insert, delete on misir.import_file to misir_app;
-- Rows of an export are put back by the worker.
grant select on misir.import_ref to misir_app;
grant usage on all sequences in schema misir to misir_app, misir_service;
