-- Imports: the file, how far it is, and what became of each entry. `run` is an import; the space is in the entry's own
-- capture, which keeps its lock.

-- name: insert_run
insert into misir.import_run (user_id, space_id, file_name, file_bytes, format, is_fetching, occurred_at)
values (%(user_id)s, %(space_id)s, %(file_name)s, %(file_bytes)s, %(format)s, %(is_fetching)s, %(now)s)
returning id;

-- name: insert_piece
insert into misir.import_file (user_id, import_id, number, data)
values (%(user_id)s, %(import_id)s, %(number)s, %(data)s)
returning number;

-- name: read_piece
select data from misir.import_file where user_id = %(user_id)s and import_id = %(import_id)s and number = %(number)s;

-- name: forget_file
delete from misir.import_file where user_id = %(user_id)s and import_id = %(import_id)s;

-- name: find_space
-- Where the entries are to go.
select id, archived_at is not null as is_archived from misir.space
where id = %(space_id)s and user_id = %(user_id)s and deleted_at is null;

-- name: count_open
-- How many imports of the user are not finished.
select count(*) as count from misir.import_run
where user_id = %(user_id)s and state in ('waiting', 'running', 'fetching');

-- name: list_runs
-- Newest first, or the one %(import_id)s.
select id, space_id, file_name, file_bytes, format, is_fetching, state, total, position, new_count, known_count,
       skipped_count, failed_count, fetched_count, undone_count, error, created_at, finished_at, updated_at
from misir.import_run
where user_id = %(user_id)s and (%(import_id)s::bigint is null or id = %(import_id)s::bigint)
  and (%(before_id)s::bigint is null or id < %(before_id)s::bigint)
order by id desc limit %(limit)s;

-- name: list_refused
-- What did not come in, and why, in the order of the file.
select position, outcome, url, error as reason from misir.import_item
where user_id = %(user_id)s and import_id = %(import_id)s and outcome in ('failed', 'skipped')
  and (%(outcome)s::text is null or outcome = %(outcome)s::text) and position > %(after)s
order by position limit %(limit)s;

-- name: find_known
-- Which of these pages the space has already.
select url_hash from misir.artifact
where user_id = %(user_id)s and space_id = %(space_id)s and url_hash = any(%(hashes)s) and deleted_at is null;

-- name: find_work
-- The user's oldest import that wants something done.
select id, space_id, format, is_fetching, state, total, position, occurred_at from misir.import_run
where user_id = %(user_id)s and state in ('waiting', 'running', 'fetching', 'undoing')
order by id limit 1;

-- name: start_run
-- Its entries have been counted.
update misir.import_run set state = 'running', total = %(total)s
where id = %(import_id)s and user_id = %(user_id)s and state = 'waiting';

-- name: insert_taken
-- In the transaction of the captures themselves; an entry that is read twice keeps what became of it first.
insert into misir.import_item (user_id, import_id, position, outcome, artifact_id, signal_id, needs_text)
select %(user_id)s, %(import_id)s, n.position, n.outcome, n.artifact_id, n.signal_id, n.needs_text
from unnest(%(positions)s::integer[], %(outcomes)s::text[], %(artifact_ids)s::bigint[], %(signal_ids)s::bigint[],
            %(need_text)s::boolean[]) as n (position, outcome, artifact_id, signal_id, needs_text)
on conflict (user_id, import_id, position) do nothing;

-- name: insert_refused
insert into misir.import_item (user_id, import_id, position, outcome, url, error)
select %(user_id)s, %(import_id)s, n.position, n.outcome, n.url, n.error
from unnest(%(positions)s::integer[], %(outcomes)s::text[], %(urls)s::text[], %(errors)s::text[])
     as n (position, outcome, url, error)
on conflict (user_id, import_id, position) do nothing;

-- name: move_on
-- The entries up to `position` are settled, and counted once: only from where the import really is.
update misir.import_run r set
  position = %(position)s,
  new_count = r.new_count + c.n_new, known_count = r.known_count + c.n_known,
  skipped_count = r.skipped_count + c.n_skipped, failed_count = r.failed_count + c.n_failed
from (
  select count(*) filter (where outcome = 'new') as n_new, count(*) filter (where outcome = 'known') as n_known,
         count(*) filter (where outcome = 'skipped') as n_skipped, count(*) filter (where outcome = 'failed') as n_failed
  from misir.import_item
  where user_id = %(user_id)s and import_id = %(import_id)s and position > %(was_at)s and position <= %(position)s
) c
where r.id = %(import_id)s and r.user_id = %(user_id)s and r.position = %(was_at)s and r.state = 'running'
returning r.id;

-- name: set_state
-- Only from the state it is in.
update misir.import_run set
  state = %(state)s, error = %(error)s,
  finished_at = case when %(state)s in ('done', 'failed', 'undone') then %(now)s::timestamptz end
where id = %(import_id)s and user_id = %(user_id)s and state = any(%(was)s::text[])
returning id;

-- name: list_without_text
-- Pages that came with a title only and have no text from elsewhere meanwhile.
select i.position, a.url, a.title, a.captured_at
from misir.import_item i
join misir.artifact a on a.id = i.artifact_id and a.user_id = i.user_id
where i.user_id = %(user_id)s and i.import_id = %(import_id)s and i.needs_text and a.deleted_at is null
  and a.content is null and a.domain is not null
order by i.position limit %(limit)s;

-- name: note_text
-- A page's text has been asked for, whatever came of it: nobody asks again.
with noted as (
  update misir.import_item set needs_text = false, text_signal_id = %(signal_id)s, error = %(error)s
  where user_id = %(user_id)s and import_id = %(import_id)s and position = %(position)s and needs_text
  returning text_signal_id
)
update misir.import_run r set fetched_count = r.fetched_count + 1
from noted where r.id = %(import_id)s and r.user_id = %(user_id)s and noted.text_signal_id is not null;

-- name: list_undoable
-- Pages this import brought in and that nobody has read, or placed by hand, since: one space's, a portion.
select a.id, a.space_id from misir.artifact a
where a.user_id = %(user_id)s and a.deleted_at is null and not a.pinned
  and exists (select 1 from misir.import_item i where i.artifact_id = a.id and i.user_id = a.user_id
                and i.import_id = %(import_id)s and i.outcome = 'new')
  and not exists (
    select 1 from misir.signal g where g.artifact_id = a.id and g.user_id = a.user_id
      and not exists (select 1 from misir.import_item j where j.artifact_id = a.id and j.user_id = a.user_id
                        and j.import_id = %(import_id)s and g.id in (j.signal_id, j.text_signal_id)))
order by a.space_id, a.id limit %(limit)s;

-- name: trash
update misir.artifact set deleted_at = %(now)s where id = any(%(artifact_ids)s) and user_id = %(user_id)s;

-- name: count_undone
update misir.import_run set undone_count = undone_count + %(count)s
where id = %(import_id)s and user_id = %(user_id)s;
