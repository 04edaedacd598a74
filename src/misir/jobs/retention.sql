-- What is kept for a time only, forgotten by the worker, a bounded number of rows in each transaction.

-- name: forget_idempotency_keys
delete from misir.idempotency_key where ctid = any(array(
  select ctid from misir.idempotency_key where created_at < %(before)s order by created_at limit %(limit)s));

-- name: forget_events
-- Old events, with their deliveries and tries, whether they arrived or not.
delete from misir.webhook_event where id = any(array(
  select id from misir.webhook_event where created_at < %(before)s order by created_at limit %(limit)s));

-- name: purge_trashed_artifacts
-- For good, with everything that hangs on them. Topics forgot them when they were trashed. The artifacts of a trashed
-- space go first, in portions, so that the space itself goes in one short step.
-- The condition stands outside as well: what was restored between the look and the deletion stays.
delete from misir.artifact t where t.id = any(array(
  (select id from misir.artifact where deleted_at < %(before)s order by deleted_at limit %(limit)s)
  union
  (select a.id from misir.space s join misir.artifact a on a.space_id = s.id and a.user_id = s.user_id
   where s.deleted_at < %(before)s limit %(limit)s)))
  and (t.deleted_at < %(before)s or exists (
    select 1 from misir.space s where s.id = t.space_id and s.user_id = t.user_id and s.deleted_at < %(before)s));

-- name: purge_trashed_spaces
delete from misir.space s where s.id = any(array(
  select id from misir.space where deleted_at < %(before)s order by deleted_at limit %(limit)s))
  and s.deleted_at < %(before)s
  and not exists (select 1 from misir.artifact a where a.space_id = s.id and a.user_id = s.user_id);

-- name: leave_retention
-- A job for everybody who wants to keep things for a time only.
insert into misir.job (user_id, kind, run_at)
select user_id, 'retain', %(now)s from misir.profile
where settings -> 'retention_enabled' = 'true' and jsonb_typeof(settings -> 'retention_days') = 'number'
on conflict on constraint job_once do nothing;

-- name: read_retention
-- How many days the user keeps what was read; no row when for ever.
select floor((settings ->> 'retention_days')::numeric)::integer as days from misir.profile
where user_id = %(user_id)s and settings -> 'retention_enabled' = 'true'
  and jsonb_typeof(settings -> 'retention_days') = 'number'
  and (settings ->> 'retention_days')::numeric between 1 and 36500;

-- name: find_outlived
-- A space that holds live pages nobody has read since `before`.
select a.space_id from misir.artifact a
join misir.space s on s.id = a.space_id and s.user_id = a.user_id and s.deleted_at is null
where a.user_id = %(user_id)s and a.deleted_at is null and a.captured_at < %(before)s
order by a.captured_at limit 1;

-- name: list_outlived
-- Under the space's lock: the pages to trash, oldest first.
select id from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and deleted_at is null and captured_at < %(before)s
order by captured_at limit %(limit)s;

-- name: trash_outlived
update misir.artifact set deleted_at = %(now)s where id = any(%(artifact_ids)s) and user_id = %(user_id)s;
