"""`misir check`: is this deployment what it should be? Every row says what was found and how to mend it."""
