-- Work that follows an answer: one row per kind and what it is for, leased to one worker at a time.

-- name: enqueue
-- Written in the transaction that causes the work: nothing is forgotten, and nothing is done for what was rolled back.
-- A job that rests is not brought forward.
insert into misir.job (user_id, space_id, kind, run_at)
values (%(user_id)s, %(space_id)s, %(kind)s, %(now)s)
on conflict on constraint job_once do update set
  version = misir.job.version + 1, cancelled_at = null,
  run_at = greatest(least(misir.job.run_at, excluded.run_at), misir.job.rest_until);

-- name: lease_job
-- The job of these kinds that has waited longest, for whoever asks first; what another worker is taking is passed
-- over. A lease that ran out belongs to a worker that died.
update misir.job set
  leased_until = %(now)s::timestamptz + %(lease_s)s * interval '1 second', attempts = attempts + 1,
  lease = gen_random_uuid()
where id = (
  select id from misir.job
  where run_at <= %(now)s and (leased_until is null or leased_until < %(now)s) and cancelled_at is null
    and kind = any(%(kinds)s)
  order by run_at limit 1
  for update skip locked)
returning id, user_id, space_id, endpoint_id, kind, version, attempts, lease;

-- name: keep_lease
-- Still at it.
update misir.job set leased_until = greatest(leased_until, %(until)s)
where id = %(job_id)s and user_id = %(user_id)s and lease = %(lease)s
returning id;

-- name: finish_job
-- Next time at `next_at`; at once, or after its rest, where more was left meanwhile. Only by who has the lease.
update misir.job set
  leased_until = null, lease = null, attempts = 0, last_error = null, rest_until = %(rest_until)s,
  run_at = case when version = %(version)s then %(next_at)s::timestamptz
                else coalesce(%(rest_until)s::timestamptz, %(now)s::timestamptz) end
where id = %(job_id)s and user_id = %(user_id)s and lease = %(lease)s;

-- name: end_job
-- Nothing is left to do, unless more was left meanwhile: then finish_job, which comes after, finds it.
delete from misir.job
where id = %(job_id)s and user_id = %(user_id)s and lease = %(lease)s and version = %(version)s;

-- name: fail_job
update misir.job set leased_until = null, lease = null, last_error = %(error)s, run_at = %(next_at)s
where id = %(job_id)s and user_id = %(user_id)s and lease = %(lease)s;

-- name: give_back
-- Not done, through no fault of its own: the next worker takes it at once instead of waiting for the lease to run out.
update misir.job set leased_until = null, lease = null, attempts = greatest(attempts - 1, 0)
where id = %(job_id)s and user_id = %(user_id)s and lease = %(lease)s;

-- name: measure_queue
-- How many jobs of each kind wait, are due, are being done, or failed the last time; and how long the oldest is overdue.
select kind,
       case when cancelled_at is not null then 'cancelled'
            when leased_until > %(now)s then 'running'
            when last_error is not null then 'failed'
            when run_at <= %(now)s then 'due' else 'waiting' end as state,
       count(*) as n_jobs,
       coalesce(max(extract(epoch from %(now)s::timestamptz - run_at))
                filter (where run_at <= %(now)s and cancelled_at is null
                          and (leased_until is null or leased_until < %(now)s)), 0)::double precision as oldest_s
from misir.job group by 1, 2;
