-- What the worker asks while it delivers, as the service role.

-- name: load_endpoint
select id, url, secret, old_secret, old_secret_until, failing_since
from misir.webhook_endpoint
where id = %(endpoint_id)s and user_id = %(user_id)s and disabled_at is null;

-- name: list_due
-- The deliveries that are due, the longest waiting first, with what they carry.
select d.id, d.attempt_count, e.uid, e.type, e.data, e.created_at
from misir.webhook_delivery d
join misir.webhook_event e on e.id = d.event_id and e.user_id = d.user_id
where d.endpoint_id = %(endpoint_id)s and d.user_id = %(user_id)s and d.state = 'pending'
  and d.next_attempt_at <= %(now)s
order by d.next_attempt_at, d.id
limit %(limit)s;

-- name: settle_deliveries
-- How each try went. One that somebody else tried meanwhile keeps what they found.
with tried as (
  select * from unnest(%(ids)s::bigint[], %(numbers)s::integer[], %(statuses)s::smallint[], %(errors)s::text[],
                       %(durations)s::integer[], %(ats)s::timestamptz[], %(states)s::text[], %(next_ats)s::timestamptz[])
    as t (id, number, status, error, duration_ms, attempted_at, state, next_at)
),
settled as (
  update misir.webhook_delivery d set
    state = t.state, attempt_count = t.number, next_attempt_at = t.next_at,
    delivered_at = case when t.state = 'delivered' then t.attempted_at end
  from tried t
  where d.id = t.id and d.user_id = %(user_id)s and d.state = 'pending' and d.attempt_count = t.number - 1
)
insert into misir.webhook_attempt (user_id, delivery_id, number, status, error, duration_ms, attempted_at)
select %(user_id)s, t.id, t.number, t.status, t.error, t.duration_ms, t.attempted_at
from tried t join misir.webhook_delivery d on d.id = t.id and d.user_id = %(user_id)s;

-- name: note_success
update misir.webhook_endpoint set failing_since = null
where id = %(endpoint_id)s and user_id = %(user_id)s and failing_since is not null;

-- name: note_failure
-- The first failure since a success counts from now; one that lasts, or says that it is gone for good, disables.
update misir.webhook_endpoint set
  failing_since = coalesce(failing_since, %(now)s),
  disabled_at = case when %(is_gone)s or failing_since < %(failing_before)s then %(now)s::timestamptz else disabled_at end,
  disabled_reason = case when %(is_gone)s then 'gone'
                         when failing_since < %(failing_before)s then 'failing' else disabled_reason end
where id = %(endpoint_id)s and user_id = %(user_id)s and disabled_at is null;

-- name: find_next_attempt
-- When something is due for the endpoint, and the first that is not yet; none while nothing waits, or it is disabled.
select w.failing_since is not null as is_failing,
       (select d.next_attempt_at from misir.webhook_delivery d
        where d.endpoint_id = w.id and d.user_id = w.user_id and d.state = 'pending'
        order by d.next_attempt_at limit 1) as next_at,
       (select d.next_attempt_at from misir.webhook_delivery d
        where d.endpoint_id = w.id and d.user_id = w.user_id and d.state = 'pending' and d.next_attempt_at > %(now)s
        order by d.next_attempt_at limit 1) as later_at
from misir.webhook_endpoint w
where w.id = %(endpoint_id)s and w.user_id = %(user_id)s and w.disabled_at is null;
