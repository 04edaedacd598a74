-- Endpoints, the events they hear of, and how each delivery went.

-- name: emit
-- The outbox, in the transaction that causes the events: nothing at all where nobody listens. Endpoints in id order,
-- so that two transactions never wait for each other's jobs.
with listening as (
  select id from misir.webhook_endpoint
  where user_id = %(user_id)s and disabled_at is null and (events = '{}' or %(type)s::text = any(events))
  order by id
),
event as (
  insert into misir.webhook_event (user_id, type, data)
  select %(user_id)s, %(type)s, d.data from unnest(%(datas)s::jsonb[]) with ordinality as d (data, place)
  where exists (select 1 from listening)
  order by d.place
  returning id
),
delivery as (
  insert into misir.webhook_delivery (user_id, endpoint_id, event_id, next_attempt_at)
  select %(user_id)s, l.id, e.id, now() from listening l cross join event e
)
insert into misir.job (user_id, endpoint_id, kind, run_at)
select %(user_id)s, id, 'deliver', now() from listening
on conflict on constraint job_once do update set
  version = misir.job.version + 1, run_at = least(misir.job.run_at, excluded.run_at), cancelled_at = null;

-- name: emit_to
-- A test event, for one endpoint whatever it subscribed to.
with event as (
  insert into misir.webhook_event (user_id, type, data) values (%(user_id)s, %(type)s, %(data)s) returning id
)
insert into misir.webhook_delivery (user_id, endpoint_id, event_id, next_attempt_at)
select %(user_id)s, %(endpoint_id)s, id, now() from event
returning id;

-- name: enqueue_deliveries
-- The endpoint has something due.
insert into misir.job (user_id, endpoint_id, kind, run_at)
select %(user_id)s, id, 'deliver', now() from misir.webhook_endpoint
where id = %(endpoint_id)s and user_id = %(user_id)s
on conflict on constraint job_once do update set
  version = misir.job.version + 1, run_at = least(misir.job.run_at, excluded.run_at), cancelled_at = null;

-- name: list_endpoints
-- All of them, or the one %(endpoint_id)s, oldest first, with how many deliveries wait.
select w.id, w.url, w.description, w.events, w.failing_since, w.disabled_at, w.disabled_reason,
       w.old_secret_until, w.created_at, w.updated_at,
       (select count(*) from misir.webhook_delivery d
        where d.endpoint_id = w.id and d.user_id = w.user_id and d.state = 'pending') as pending_count
from misir.webhook_endpoint w
where w.user_id = %(user_id)s and (%(endpoint_id)s::bigint is null or w.id = %(endpoint_id)s)
  and w.id > %(after_id)s
order by w.id
limit %(limit)s;

-- name: count_endpoints
select count(*) as count from misir.webhook_endpoint where user_id = %(user_id)s;

-- name: insert_endpoint
insert into misir.webhook_endpoint (user_id, url, description, events, secret)
values (%(user_id)s, %(url)s, %(description)s, %(events)s, %(secret)s)
returning id;

-- name: update_endpoint
-- What is given replaces what was; enabling it again forgets why it was disabled.
update misir.webhook_endpoint set
  url = coalesce(%(url)s, url),
  description = case when %(has_description)s then %(description)s else description end,
  events = coalesce(%(events)s::text[], events),
  disabled_at = case when %(is_enabled)s::boolean is null then disabled_at
                     when %(is_enabled)s then null else coalesce(disabled_at, now()) end,
  disabled_reason = case when %(is_enabled)s::boolean is null then disabled_reason
                         when %(is_enabled)s then null else coalesce(disabled_reason, 'user') end,
  failing_since = case when %(is_enabled)s then null else failing_since end
where id = %(endpoint_id)s and user_id = %(user_id)s
returning id;

-- name: delete_endpoint
delete from misir.webhook_endpoint where id = %(endpoint_id)s and user_id = %(user_id)s returning id;

-- name: rotate_secret
-- The old one signs beside the new one until its time is over.
update misir.webhook_endpoint set
  old_secret = secret, old_secret_until = %(old_until)s, secret = %(secret)s
where id = %(endpoint_id)s and user_id = %(user_id)s
returning id;

-- name: list_deliveries
-- Newest first, with every try.
select d.id, 'evt_' || replace(e.uid::text, '-', '') as event_id, e.type, d.state, d.attempt_count, d.next_attempt_at,
       d.delivered_at, d.created_at, coalesce(a.attempts, '[]') as attempts
from misir.webhook_delivery d
join misir.webhook_event e on e.id = d.event_id and e.user_id = d.user_id
left join lateral (
  select jsonb_agg(jsonb_build_object('number', number, 'status', status, 'error', error, 'duration_ms', duration_ms,
                                      'attempted_at', attempted_at) order by id) as attempts
  from misir.webhook_attempt where delivery_id = d.id and user_id = d.user_id
) a on true
where d.user_id = %(user_id)s and d.endpoint_id = %(endpoint_id)s
  and (%(delivery_id)s::bigint is null or d.id = %(delivery_id)s)
  and (%(before_id)s::bigint is null or d.id < %(before_id)s)
  and (%(state)s::text is null or d.state = %(state)s)
order by d.id desc
limit %(limit)s;

-- name: redeliver
-- The same event once more, at once, as if it had never been tried.
update misir.webhook_delivery set state = 'pending', attempt_count = 0, next_attempt_at = now(), delivered_at = null
where id = %(delivery_id)s and endpoint_id = %(endpoint_id)s and user_id = %(user_id)s
returning id;
