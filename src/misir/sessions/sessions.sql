-- Sittings of reading, which signals may name.

-- name: begin_session
-- The same external_id again is the same session; it began when the earlier of the two says.
insert into misir.session (user_id, external_id, started_at)
values (%(user_id)s, %(external_id)s, %(started_at)s)
on conflict (user_id, external_id) do update set started_at = least(session.started_at, excluded.started_at)
returning id, user_id, external_id, started_at, ended_at, totals, created_at, updated_at, xmax = 0 as is_new;

-- name: get_session
select id, user_id, external_id, started_at, ended_at, totals, created_at, updated_at
from misir.session where id = %(session_id)s and user_id = %(user_id)s;

-- name: load_session_for_update
-- Locks the one session, so that its beginning and its end are compared as they will be stored.
select started_at from misir.session where id = %(session_id)s and user_id = %(user_id)s
for no key update;

-- name: patch_session
update misir.session set
  ended_at = case when %(has_end)s then %(ended_at)s else ended_at end,
  totals = coalesce(%(totals)s, totals)
where id = %(session_id)s and user_id = %(user_id)s
returning id, user_id, external_id, started_at, ended_at, totals, created_at, updated_at;

-- name: list_sessions
-- Newest first by (started_at, id); %(before_at)s and %(before_id)s are where the last page ended.
select id, user_id, external_id, started_at, ended_at, totals, created_at, updated_at
from misir.session
where user_id = %(user_id)s
  and (%(before_at)s::timestamptz is null or (started_at, id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
  and (%(updated_since)s::timestamptz is null or updated_at >= %(updated_since)s::timestamptz)
order by started_at desc, id desc
limit %(limit)s;

-- name: count_sessions
select count(*) as count from misir.session
where user_id = %(user_id)s and (%(updated_since)s::timestamptz is null or updated_at >= %(updated_since)s::timestamptz);
