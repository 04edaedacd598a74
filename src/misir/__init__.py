"""Misir: an orientation engine."""

import os

# Before numpy is imported anywhere: its products are small, and threads of it would fight the model's.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
