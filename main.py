"""`uvicorn main:app` and `gunicorn main:app -k uvicorn.workers.UvicornWorker` start Misir."""

from misir.app import app_from_environment

app = app_from_environment()
