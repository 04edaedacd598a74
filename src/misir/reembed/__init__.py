"""`misir reembed`: a library moves to another embedding model, and stays readable while it does."""
