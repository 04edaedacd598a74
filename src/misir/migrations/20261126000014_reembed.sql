-- A library can be moved to another model (`misir reembed`): its new vectors are kept beside the old ones until all are
-- there, and take their place in one transaction.

-- The vectors to come, of any length. next_fraction is set once a text was looked at, next_vector null where there was
-- none to read; next_intention is the intention that next_intention_embedding was made of.
alter table misir.embedding
  add column next_vector halfvec,
  add column next_fraction double precision check (next_fraction between 0 and 1);
alter table misir.marker add column next_embedding halfvec;
alter table misir.space
  add column next_intention text,
  add column next_intention_embedding halfvec;

-- History keeps the vectors of the model it was lived under, so these take any length; every row names its model.
alter table misir.subspace_snapshot alter column centroid type vector;
alter table misir.drift_event alter column previous_mean type vector, alter column new_mean type vector;

alter table misir.subspace_event drop constraint subspace_event_type_check;
alter table misir.subspace_event add constraint subspace_event_type_check check (type in (
  'born', 'drifted', 'merged', 'split', 'dormant', 'returned', 'renamed', 'retired', 'reopened', 'consolidated',
  'reembedded'));

-- Every transaction begins with it: a process that still holds another model is refused, at the moment the library
-- moves, too. The read keeps its table until the transaction ends, which is what the move waits for; volatile, so that
-- who waited for the move sees what it left.
create function misir.expect_model(fingerprint text) returns void language plpgsql volatile as $$
declare
  stored text;
begin
  select value ->> 'fingerprint' into stored from misir.system_config where key = 'embedding_model';
  if stored is distinct from fingerprint then
    raise exception using errcode = 'MI001', message = coalesce(stored, 'none');
  end if;
end $$;
