-- What the worker asks while it catches up, as the service role.

-- name: note_refusal
-- Why it could not be placed, for its owner.
update misir.pending_capture set error = %(error)s where id = %(pending_id)s and user_id = %(user_id)s;
