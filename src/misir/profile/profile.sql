-- A person's profile: one row each, made when it is first read.

-- name: make_profile
insert into misir.profile (user_id) values (%(user_id)s) on conflict (user_id) do nothing;

-- name: load_profile
select user_id as id, display_name, avatar_url, timezone, onboarded_at, settings, created_at, updated_at
from misir.profile where user_id = %(user_id)s;

-- name: load_profile_for_update
-- Two patches of the settings must each see what the other merged in.
select user_id as id, display_name, avatar_url, timezone, onboarded_at, settings, created_at, updated_at
from misir.profile where user_id = %(user_id)s
for no key update;

-- name: store_settings
update misir.profile set settings = %(settings)s where user_id = %(user_id)s;

-- name: knows_zone
-- Days are counted by the database, whose list of time zones is its own.
select exists (select from pg_timezone_names where name = %(timezone)s) as is_known;

-- name: patch_metadata
update misir.profile set
  display_name = case when %(has_display_name)s then %(display_name)s else display_name end,
  avatar_url = case when %(has_avatar_url)s then %(avatar_url)s else avatar_url end,
  timezone = coalesce(%(timezone)s, timezone)
where user_id = %(user_id)s;

-- name: note_onboarding
-- The first time wins.
update misir.profile set onboarded_at = %(now)s where user_id = %(user_id)s and onboarded_at is null;

-- ---- the end of an account ------------------------------------------------------------------------------------------

-- name: delete_spaces
-- Everything that is in a space goes along.
with gone as (delete from misir.space where user_id = %(user_id)s returning id)
select count(*) as count from gone;

-- name: delete_sessions
delete from misir.session where user_id = %(user_id)s;

-- name: delete_answers
delete from misir.idempotency_key where user_id = %(user_id)s;

-- name: delete_imports
-- With their files. Those into a space are gone with it.
delete from misir.import_run where user_id = %(user_id)s;

-- name: delete_webhooks
-- With what they were sent, and the jobs that send it.
delete from misir.webhook_endpoint where user_id = %(user_id)s;

-- name: delete_events
delete from misir.webhook_event where user_id = %(user_id)s;

-- name: delete_jobs
-- Those of a space or an endpoint are gone with it.
delete from misir.job where user_id = %(user_id)s;

-- name: delete_keys
delete from misir.api_key where user_id = %(user_id)s;

-- name: delete_profile
delete from misir.profile where user_id = %(user_id)s;
