-- What administrators may ask. These run as misir_service, past row level security, and are audited.

-- name: insert_audit
-- Before the act, and committed before it: an act without its entry cannot happen.
insert into misir.admin_audit (actor, action, target_user_id, target, request_id)
values (%(actor)s, %(action)s, %(target_user_id)s, %(target)s, %(request_id)s);

-- name: list_users
-- Everybody who has a space, with the size of their library; in order of their ids.
select s.user_id, count(distinct s.id) as space_count, count(a.id) as artifact_count, max(a.captured_at) as last_activity_at
from misir.space s
left join misir.artifact a on a.space_id = s.id and a.user_id = s.user_id and a.deleted_at is null
where s.deleted_at is null and (%(after_user_id)s::uuid is null or s.user_id > %(after_user_id)s::uuid)
group by s.user_id
order by s.user_id
limit %(limit)s;
