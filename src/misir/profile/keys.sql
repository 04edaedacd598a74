-- Personal API keys.

-- name: find_api_key
-- Whose key is this? Asked before there is a user, so through the function that may.
select id, user_id, scopes from misir.find_api_key(%(key_hash)s);

-- name: touch_api_key
-- Once a minute is often enough for "last used".
update misir.api_key set last_used_at = %(now)s
where id = %(key_id)s and user_id = %(user_id)s
  and (last_used_at is null or last_used_at < %(now)s::timestamptz - interval '1 minute');

-- name: insert_api_key
insert into misir.api_key (user_id, name, prefix, key_hash, scopes)
values (%(user_id)s, %(name)s, %(prefix)s, %(key_hash)s, %(scopes)s)
returning id, name, prefix, scopes, last_used_at, revoked_at, created_at;

-- name: list_api_keys
select id, name, prefix, scopes, last_used_at, revoked_at, created_at from misir.api_key
where user_id = %(user_id)s order by id;

-- name: revoke_api_key
update misir.api_key set revoked_at = now()
where id = %(key_id)s and user_id = %(user_id)s and revoked_at is null
returning id;
