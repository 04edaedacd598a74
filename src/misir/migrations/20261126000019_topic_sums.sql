-- What the pages of a topic, or of none, weigh together, so that a whole library need not be weighed for each look at it.
-- Decay is exponential, so that a sum of one rate, multiplied, is right at any later time (decision 0041).

-- The weight of a page (orient/weight.py), as the statements that sum it over many rows compute it. numbers: base weights from
-- latent to saturated; mu and tau of the calibration; ln of the retention per second, high, medium and low. age: in seconds.
create function misir.page_weight(
  level misir.engagement_level, rate misir.decay_rate, similarity double precision, age double precision,
  numbers double precision[]
) returns double precision language sql immutable parallel safe as $$
  select case level when 'latent' then numbers[1] when 'discovered' then numbers[2] when 'engaged' then numbers[3]
                    else numbers[4] end
         * least(greatest((similarity - numbers[5]) / (numbers[6] - numbers[5]), 0), 1)
         * exp(case rate when 'high' then numbers[7] when 'medium' then numbers[8] else numbers[9] end * age)
$$;
revoke all on function misir.page_weight(misir.engagement_level, misir.decay_rate, double precision, double precision, double precision[]) from public;
grant execute on function misir.page_weight(misir.engagement_level, misir.decay_rate, double precision, double precision, double precision[])
  to misir_app, misir_service;

-- The live pages of a topic or, where it is null, those of the space that are in none: each found by an index of its own.
-- Security invoker, read like a view.
create function misir.pages_of(asked_user uuid, asked_space bigint, asked_topic bigint) returns setof misir.artifact
language sql stable as $$
  select a.* from misir.artifact a
  where asked_topic is not null and a.subspace_id = asked_topic and a.space_id = asked_space
    and a.user_id = asked_user and a.deleted_at is null
  union all
  select a.* from misir.artifact a
  where asked_topic is null and a.subspace_id is null and a.space_id = asked_space
    and a.user_id = asked_user and a.deleted_at is null
$$;
revoke all on function misir.pages_of(uuid, bigint, bigint) from public;
grant execute on function misir.pages_of(uuid, bigint, bigint) to misir_app, misir_service;

-- high, medium, low: the weights of the pages of that decay rate, summed, as of computed_at; heaviest_…:
-- the greatest of them, null where there is none. numbers: which engine values they were computed with.
-- computed_at null: a page changed since. artifact_count is then about right only.
create table misir.topic_sum (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  space_id bigint not null,
  subspace_id bigint,
  artifact_count integer not null default 0,
  high double precision not null default 0,
  medium double precision not null default 0,
  low double precision not null default 0,
  heaviest_high double precision,
  heaviest_medium double precision,
  heaviest_low double precision,
  numbers double precision[] not null default '{}',
  computed_at timestamptz,
  foreign key (space_id, user_id) references misir.space (id, user_id) on delete cascade,
  foreign key (subspace_id, user_id) references misir.subspace (id, user_id) on delete cascade
) with (fillfactor = 70); -- rewritten in place
create unique index topic_sum_once on misir.topic_sum (space_id, subspace_id) nulls not distinct;
create index topic_sum_by_user on misir.topic_sum (user_id);
create index topic_sum_by_subspace on misir.topic_sum (subspace_id);

alter table misir.topic_sum enable row level security;
alter table misir.topic_sum force row level security;
create policy own_select on misir.topic_sum for select to misir_app using (user_id = (select auth.uid()));
create policy own_insert on misir.topic_sum for insert to misir_app with check (user_id = (select auth.uid()));
create policy own_update on misir.topic_sum for update to misir_app using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy own_delete on misir.topic_sum for delete to misir_app using (user_id = (select auth.uid()));
grant select, insert, update on misir.topic_sum to misir_app;
grant select, insert, update, delete on misir.topic_sum to misir_service;

-- A page came, changed or went: the sums it was in, and is in, hold no longer. Every such write leaves its mark on the row of
-- the sum, changed or not, and holds it until it commits: whoever computes a sum takes that row first, and sees all there is.
create function misir.forget_sums() returns trigger language plpgsql set search_path = '' as $$
begin
  if tg_op <> 'INSERT' then
    update misir.topic_sum t set computed_at = null
    from (
      select distinct o.user_id, o.space_id, o.subspace_id from before o
    ) g
    where t.user_id = g.user_id and t.space_id = g.space_id and t.subspace_id is not distinct from g.subspace_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into misir.topic_sum (user_id, space_id, subspace_id, artifact_count)
    select n.user_id, n.space_id, n.subspace_id, count(*) from after n
    group by n.user_id, n.space_id, n.subspace_id
    order by n.space_id, n.subspace_id
    on conflict (space_id, subspace_id) do update set
      computed_at = null, artifact_count = misir.topic_sum.artifact_count + excluded.artifact_count;
  end if;
  return null;
end $$;
create trigger forget_sums_of_new after insert on misir.artifact
  referencing new table as after for each statement execute function misir.forget_sums();
create trigger forget_sums_of_changed after update on misir.artifact
  referencing old table as before new table as after for each statement execute function misir.forget_sums();
create trigger forget_sums_of_gone after delete on misir.artifact
  referencing old table as before for each statement execute function misir.forget_sums();

insert into misir.topic_sum (user_id, space_id, subspace_id, artifact_count)
select user_id, space_id, subspace_id, count(*) from misir.artifact group by user_id, space_id, subspace_id;
