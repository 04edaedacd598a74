-- Insights as they are kept: one row per cause.

-- name: wait_in_line
-- Two that keep insights of the same user write one after the other. Ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('insights ' || %(user_id)s::text, 0));

-- name: keep_findings
-- Each cause once. One that was dismissed, acted on or snoozed stays so until its quiet time is over, and one that
-- had ended is raised again.
with found as (
  select * from jsonb_to_recordset(%(findings)s::jsonb) as f (
    space_id bigint, subspace_id bigint, rule text, dedupe_key text, category text, headline text, description text,
    severity text, trigger_value double precision, artifact_ids bigint[], evidence jsonb, actions jsonb)
),
before as (
  select i.dedupe_key, i.status from misir.insight i
  where i.user_id = %(user_id)s and i.dedupe_key in (select dedupe_key from found)
),
kept as (
  insert into misir.insight as i (user_id, space_id, subspace_id, rule, dedupe_key, category, headline, description,
                                  severity, trigger_value, artifact_ids, evidence, actions, created_at)
  select %(user_id)s, f.space_id, f.subspace_id, f.rule, f.dedupe_key, f.category, f.headline, f.description,
         f.severity::misir.insight_severity, f.trigger_value, f.artifact_ids, f.evidence, f.actions, %(now)s
  from found f
  join misir.space s on s.id = f.space_id and s.user_id = %(user_id)s
  order by f.dedupe_key
  on conflict (user_id, dedupe_key) do update set
    headline = excluded.headline, description = excluded.description, severity = excluded.severity,
    trigger_value = excluded.trigger_value, artifact_ids = excluded.artifact_ids, evidence = excluded.evidence,
    actions = excluded.actions,
    status = case when i.status = 'expired' or i.quiet_until <= %(now)s then 'active' else i.status end,
    quiet_until = case when i.status = 'expired' or i.quiet_until <= %(now)s then null else i.quiet_until end
  returning i.id, i.dedupe_key, i.status, i.space_id, i.rule
)
select kept.id, kept.space_id, kept.rule, kept.status = 'active' and before.status is distinct from 'active' as is_raised
from kept left join before on before.dedupe_key = kept.dedupe_key
order by kept.id;

-- name: expire_insights
-- What these rules no longer find has ended.
update misir.insight set status = 'expired', quiet_until = null
where user_id = %(user_id)s and status in ('active', 'snoozed') and rule = any(%(rules)s)
  and (%(space_id)s::bigint is null or space_id = %(space_id)s::bigint)
  and not dedupe_key = any(%(keys)s::text[]);

-- name: list_insights
-- Newest first by (created_at, id); %(before_at)s and %(before_id)s are where the last page ended. A snooze that is
-- over counts as active.
select i.* from (
  select i.id, i.user_id, i.space_id, i.subspace_id, i.rule, i.category, i.headline, i.description, i.severity,
         case when i.status = 'snoozed' and i.quiet_until <= %(now)s then 'active' else i.status end as status,
         i.trigger_value, i.artifact_ids, i.evidence, i.actions, i.quiet_until, i.dismissed_at, i.acted_at, i.created_at,
         i.updated_at
  from misir.insight i
  join misir.space s on s.id = i.space_id and s.user_id = i.user_id and s.deleted_at is null
  where i.user_id = %(user_id)s
) i
where (%(status)s::text is null or i.status::text = %(status)s::text)
  and (%(space_id)s::bigint is null or i.space_id = %(space_id)s::bigint)
  and (%(insight_ids)s::bigint[] is null or i.id = any(%(insight_ids)s::bigint[]))
  and (%(rules)s::text[] is null or i.rule = any(%(rules)s::text[]))
  and (%(before_at)s::timestamptz is null or (i.created_at, i.id) < (%(before_at)s::timestamptz, %(before_id)s::bigint))
order by i.created_at desc, i.id desc
limit %(limit)s;

-- name: find_keys
-- Which of these causes are kept already, and under which id?
select id, dedupe_key from misir.insight where user_id = %(user_id)s and dedupe_key = any(%(keys)s::text[]);

-- name: set_status
-- A person's word on an insight; said again it changes nothing.
update misir.insight i set
  status = %(status)s::misir.insight_status,
  quiet_until = %(quiet_until)s,
  dismissed_at = case when %(status)s::text = 'dismissed' then %(now)s else dismissed_at end,
  acted_at = case when %(status)s::text = 'acted' then %(now)s else acted_at end
where i.id = %(insight_id)s and i.user_id = %(user_id)s
  and (i.status::text <> %(status)s::text or %(status)s::text = 'snoozed')
  and exists (select 1 from misir.space s where s.id = i.space_id and s.user_id = i.user_id and s.deleted_at is null);

-- name: reopen_insight
-- What a person said of it is taken back; when it was said stays known.
update misir.insight i set status = 'active', quiet_until = null
where i.id = %(insight_id)s and i.user_id = %(user_id)s and i.status in ('dismissed', 'acted', 'snoozed')
  and exists (select 1 from misir.space s where s.id = i.space_id and s.user_id = i.user_id and s.deleted_at is null);
