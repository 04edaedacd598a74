-- A job that took long rests: what is left for it meanwhile does not bring it forward.
alter table misir.job add column rest_until timestamptz;
