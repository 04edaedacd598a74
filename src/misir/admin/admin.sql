-- What administrators may ask. These run as misir_service, past row level security, and are audited.

-- name: insert_audit
-- Before the act, and committed before it: an act without its entry cannot happen.
insert into misir.admin_audit (actor, action, target_user_id, target, request_id)
values (%(actor)s, %(action)s, %(target_user_id)s, %(target)s, %(request_id)s);

-- name: note_purge
-- For every process to see that keys are to be forgotten.
insert into misir.system_config (key, value) values ('keys_purged', to_jsonb(clock_timestamp()))
on conflict (key) do update set value = excluded.value;

-- name: read_purge
select value from misir.system_config where key = 'keys_purged';

-- name: list_jobs
-- Jobs in order of id, or the one %(job_id)s. A lease that ran out is of a worker that died: due again.
select * from (
  select id, kind, user_id, space_id, endpoint_id, run_at, leased_until, attempts, last_error, created_at, updated_at,
         case when cancelled_at is not null then 'cancelled'
              when leased_until > %(now)s then 'running'
              when last_error is not null then 'failed'
              when run_at <= %(now)s then 'due' else 'waiting' end as state
  from misir.job
) j
where id > %(after_id)s and (%(job_id)s::bigint is null or id = %(job_id)s)
  and (%(kind)s::text is null or kind = %(kind)s) and (%(state)s::text is null or state = %(state)s)
  and (%(owner_id)s::uuid is null or user_id = %(owner_id)s)
order by id limit %(limit)s;

-- name: retry_job
-- A version more, so that one that is being done is done again.
update misir.job set run_at = %(now)s, cancelled_at = null, attempts = 0, last_error = null, version = version + 1
where id = %(job_id)s returning id;

-- name: cancel_job
update misir.job set cancelled_at = coalesce(cancelled_at, %(now)s) where id = %(job_id)s returning id;

-- name: list_users
-- Everybody who has a space, with the size of their library; in order of their ids.
select s.user_id, count(distinct s.id) as space_count, count(a.id) as artifact_count, max(a.captured_at) as last_activity_at
from misir.space s
left join misir.artifact a on a.space_id = s.id and a.user_id = s.user_id and a.deleted_at is null
where s.deleted_at is null and (%(after_user_id)s::uuid is null or s.user_id > %(after_user_id)s::uuid)
group by s.user_id
order by s.user_id
limit %(limit)s;
