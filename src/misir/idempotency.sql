-- Answers kept under an Idempotency-Key.

-- name: find_key
-- What is kept under the key and still counts; status 0: it is claimed, and has no answer yet.
select request_hash, status, body from misir.idempotency_key
where user_id = %(user_id)s and route = %(route)s and key = %(key)s and created_at > %(expired_before)s;

-- name: claim_key
-- The key is ours, unless it holds an answer, or another body. Waits for whoever claims it in an open transaction. One
-- that was claimed and has no answer is of a batch: whoever repeats it may do the rest. No row: it is not ours.
insert into misir.idempotency_key (user_id, route, key, request_hash, status, body, created_at)
values (%(user_id)s, %(route)s, %(key)s, %(request_hash)s, 0, '', %(now)s)
on conflict (user_id, route, key) do update set
  request_hash = excluded.request_hash, status = 0, body = '', created_at = excluded.created_at
where misir.idempotency_key.created_at <= %(expired_before)s
   or (misir.idempotency_key.status = 0 and misir.idempotency_key.request_hash = excluded.request_hash)
returning 1;

-- name: keep_answer
-- The first answer stays. No row: there is one.
update misir.idempotency_key set status = %(status)s, body = %(body)s
where user_id = %(user_id)s and route = %(route)s and key = %(key)s and status = 0
returning 1;
