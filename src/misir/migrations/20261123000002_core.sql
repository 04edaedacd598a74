-- The core tables (docs/database/README.md). Every tenant table carries user_id, and every reference between
-- tenant tables carries it too, so that no row can point at another user's row.
-- Vector columns are untyped here: `misir migrate` gives them the active model's dimension once.

create type misir.engagement_level as enum ('latent', 'discovered', 'engaged', 'saturated');
create type misir.content_source as enum ('web', 'pdf', 'video', 'chat', 'note', 'other');
create type misir.decay_rate as enum ('high', 'medium', 'low');
create type misir.signal_type as enum ('semantic', 'temporal', 'behavioral', 'structural');
create type misir.subspace_state as enum ('active', 'dormant', 'retired');
create type misir.assigned_by as enum ('engine', 'client', 'user');
create type misir.marker_source as enum ('user_defined', 'extracted', 'suggested');

create table misir.system_config (
  key text primary key,
  value jsonb not null,
  version integer not null default 1,
  updated_at timestamptz not null default now()
);

create table misir.profile (
  user_id uuid primary key,
  display_name text,
  avatar_url text,
  timezone text not null default 'UTC',
  settings jsonb not null default '{}',
  onboarded_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table misir.space (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  description text,
  intention text,
  intention_embedding halfvec,
  intention_model text,
  auto_subspaces boolean not null default true,
  color text not null default '#4f6d7a' check (color ~ '^#[0-9a-f]{6}$'),
  next_seq bigint not null default 1,
  archived_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id)
);
create index space_by_user on misir.space (user_id, id);

create table misir.subspace (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  name text not null check (length(name) between 1 and 200),
  description text,
  model text,
  centroid vector,
  weight_sum double precision not null default 0 check (weight_sum >= 0),
  signal_count integer not null default 0 check (signal_count >= 0),
  artifact_count integer not null default 0 check (artifact_count >= 0),
  coherence double precision not null default 0,
  confidence double precision not null default 0 check (confidence between 0 and 1),
  learning_rate double precision not null default 0.1 check (learning_rate > 0 and learning_rate <= 1),
  anchor_centroid vector,
  anchor_at timestamptz,
  anchor_count integer not null default 0,
  state misir.subspace_state not null default 'active',
  pinned boolean not null default false,
  depth integer,
  prerequisites text[] not null default '{}',
  suggested_study_order integer,
  map_x real,
  map_y real,
  centroid_updated_at timestamptz,
  last_activity_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id),
  unique (id, space_id, user_id),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);
create index subspace_by_space on misir.subspace (space_id, user_id);

create table misir.marker (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  label text not null check (length(label) between 1 and 200),
  model text not null,
  embedding halfvec not null,
  weight double precision not null default 1 check (weight between 0 and 1),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, space_id, user_id),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);
create unique index marker_label_per_space on misir.marker (user_id, space_id, lower(label));

create table misir.subspace_marker (
  subspace_id bigint not null,
  marker_id bigint not null,
  space_id bigint not null,
  user_id uuid not null,
  weight double precision not null default 1 check (weight between 0 and 1),
  source misir.marker_source not null default 'user_defined',
  last_matched_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (subspace_id, marker_id),
  foreign key (subspace_id, space_id, user_id) references misir.subspace (id, space_id, user_id) on delete cascade,
  foreign key (marker_id, space_id, user_id) references misir.marker (id, space_id, user_id) on delete cascade
);
create index subspace_marker_by_marker on misir.subspace_marker (marker_id);

create table misir.session (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  external_id text not null,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  totals jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (id, user_id),
  unique (user_id, external_id)
);

create table misir.artifact (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  subspace_id bigint,
  url text not null,
  normalized_url text not null,
  url_hash bytea not null, -- SHA-256 of normalized_url: a URL may be longer than an index entry
  domain text,
  title text,
  content text,
  content_hash bytea not null, -- SHA-256 of the text that was embedded
  word_count integer not null default 0 check (word_count >= 0),
  content_source misir.content_source not null default 'web',
  engagement_level misir.engagement_level not null default 'latent',
  dwell_time_ms bigint not null default 0 check (dwell_time_ms >= 0),
  active_time_ms bigint check (active_time_ms >= 0),
  scroll_depth double precision not null default 0 check (scroll_depth between 0 and 1),
  reading_depth double precision check (reading_depth between 0 and 1.5),
  reading_depth_client double precision check (reading_depth_client between 0 and 1.5),
  decay_rate misir.decay_rate not null default 'high',
  assigned_by misir.assigned_by,
  pinned boolean not null default false,
  similarity double precision,
  raw_margin double precision,
  probability double precision check (probability between 0 and 1),
  fit double precision check (fit between 0 and 1),
  taught_weight double precision not null default 0 check (taught_weight >= 0), -- what it taught its topic so far
  embedded_fraction double precision not null default 1 check (embedded_fraction between 0 and 1),
  duplicate_of bigint,
  metadata jsonb not null default '{}',
  captured_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  -- Title (A) both as English and split at punctuation, so that DictReader finds csv.DictReader; domain (B);
  -- the first 100,000 characters of the text (C).
  search tsvector generated always as (
    setweight(to_tsvector('english', left(coalesce(title, ''), 2000)), 'A')
    || setweight(to_tsvector('simple', left(regexp_replace(coalesce(title, ''), '[^[:alnum:]_]+', ' ', 'g'), 2000)), 'A')
    || setweight(to_tsvector('simple', replace(coalesce(domain, ''), '.', ' ')), 'B')
    || setweight(to_tsvector('english', left(coalesce(content, ''), 100000)), 'C')
  ) stored,
  unique (id, user_id),
  unique (id, space_id, user_id),
  unique (user_id, space_id, url_hash),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (subspace_id, space_id, user_id) references misir.subspace (id, space_id, user_id)
    on delete set null (subspace_id),
  foreign key (duplicate_of, user_id) references misir.artifact (id, user_id) on delete set null (duplicate_of)
);
create index artifact_newest on misir.artifact (user_id, captured_at desc, id desc) where deleted_at is null;
create index artifact_by_space on misir.artifact (space_id, captured_at desc, id desc) where deleted_at is null;
create index artifact_by_subspace on misir.artifact (subspace_id) where deleted_at is null;
create index artifact_by_original on misir.artifact (duplicate_of) where duplicate_of is not null;
create index artifact_search on misir.artifact using gin (search);

create table misir.embedding (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  artifact_id bigint not null,
  model text not null,
  content_hash bytea not null,
  vector halfvec not null,
  fraction double precision not null check (fraction between 0 and 1),
  created_at timestamptz not null default now(),
  unique (id, user_id),
  unique (artifact_id, model, content_hash),
  foreign key (artifact_id, user_id) references misir.artifact (id, user_id) on delete cascade
);
create index embedding_by_user on misir.embedding (user_id);

create table misir.signal (
  id bigint generated always as identity primary key,
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
  unique (id, user_id),
  unique (space_id, seq),
  unique (artifact_id, payload_hash),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (artifact_id, user_id) references misir.artifact (id, user_id) on delete cascade,
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete set null (subspace_id),
  foreign key (embedding_id, user_id) references misir.embedding (id, user_id) on delete set null (embedding_id),
  foreign key (session_id, user_id) references misir.session (id, user_id) on delete set null (session_id)
);
create index signal_by_event on misir.signal (artifact_id, event_hash, created_at desc);
create index signal_by_subspace on misir.signal (subspace_id, seq);

create table misir.correction (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  seq bigint not null,
  kind text not null check (kind in ('adopt', 'move', 'delete', 'restore', 'merge', 'split', 'retire',
                                     'consolidate', 'seed', 'marker', 'undo')),
  actor text not null check (actor in ('engine', 'user', 'admin')),
  artifact_ids bigint[] not null default '{}',
  subspace_ids bigint[] not null default '{}',
  payload jsonb not null default '{}',
  created_at timestamptz not null default now(),
  unique (id, user_id),
  unique (space_id, seq),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade
);

create index correction_by_artifact on misir.correction using gin (artifact_ids);

create table misir.subspace_event (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  subspace_id bigint,
  type text not null check (type in ('born', 'drifted', 'merged', 'split', 'dormant', 'returned', 'renamed')),
  cause jsonb not null default '{}',
  numbers jsonb not null default '{}',
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete set null (subspace_id)
);
create index subspace_event_by_subspace on misir.subspace_event (subspace_id, occurred_at);
create index subspace_event_by_space on misir.subspace_event (space_id, occurred_at);

create table misir.subspace_snapshot (
  subspace_id bigint not null,
  day date not null,
  user_id uuid not null,
  model text not null,
  centroid vector not null,
  artifact_count integer not null,
  signal_count integer not null,
  confidence double precision not null,
  map_x real,
  map_y real,
  created_at timestamptz not null default now(),
  primary key (subspace_id, day),
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete cascade
);

create table misir.drift_event (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  subspace_id bigint not null,
  trigger_signal_id bigint,
  magnitude double precision not null,
  raw_drift double precision not null,
  z double precision not null,
  notable boolean not null,
  model text not null,
  previous_mean vector not null,
  new_mean vector not null,
  turning_artifact_ids bigint[] not null default '{}',
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete cascade,
  foreign key (trigger_signal_id, user_id) references misir.signal (id, user_id)
    on delete set null (trigger_signal_id)
);
create index drift_event_by_subspace on misir.drift_event (subspace_id, occurred_at);

create table misir.idempotency_key (
  user_id uuid not null,
  route text not null,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null,
  status smallint not null,
  body bytea not null,
  created_at timestamptz not null default now(),
  primary key (user_id, route, key)
);

-- updated_at is the one thing a trigger may write.
create function misir.touch() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end $$;

do $$
declare
  target text;
begin
  foreach target in array array['system_config', 'profile', 'space', 'subspace', 'marker', 'session', 'artifact'] loop
    execute format('create trigger touch before update on misir.%I for each row execute function misir.touch()', target);
  end loop;
end $$;

-- On Supabase a user's data ends with the account; elsewhere there is no auth.users to refer to.
do $$
begin
  if to_regclass('auth.users') is not null then
    alter table misir.profile add foreign key (user_id) references auth.users (id) on delete cascade;
    alter table misir.space add foreign key (user_id) references auth.users (id) on delete cascade;
    alter table misir.session add foreign key (user_id) references auth.users (id) on delete cascade;
  end if;
end $$;
