-- Work that follows an answer: one row per space and kind, leased to one worker at a time.

-- name: enqueue
-- Written in the transaction that causes the work: nothing is forgotten, and nothing is done for what was rolled back.
insert into misir.job (user_id, space_id, kind, run_at)
values (%(user_id)s, %(space_id)s, %(kind)s, %(now)s)
on conflict (user_id, space_id, kind) do update set
  version = misir.job.version + 1, run_at = least(misir.job.run_at, excluded.run_at);

-- name: lease_job
-- The job that has waited longest, for whoever asks first; what another worker is taking is passed over. A lease
-- that ran out belongs to a worker that died.
update misir.job set leased_until = %(now)s::timestamptz + %(lease_s)s * interval '1 second', attempts = attempts + 1
where id = (
  select id from misir.job
  where run_at <= %(now)s and (leased_until is null or leased_until < %(now)s)
  order by run_at limit 1
  for update skip locked)
returning id, user_id, space_id, kind, version, attempts;

-- name: finish_job
-- Next time at `next_at`; at once, where more work was left while this was being done.
update misir.job set
  leased_until = null, attempts = 0, last_error = null,
  run_at = case when version = %(version)s then %(next_at)s::timestamptz else %(now)s::timestamptz end
where id = %(job_id)s and user_id = %(user_id)s;

-- name: fail_job
update misir.job set leased_until = null, last_error = %(error)s, run_at = %(next_at)s
where id = %(job_id)s and user_id = %(user_id)s;
