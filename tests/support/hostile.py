"""What login shells, conda, platforms and others' programs have in their environment: none of it is meant for us."""

from __future__ import annotations

HOSTILE = {
    "MAIL": "/var/mail/root",
    "HOST": "x86_64-conda-linux-gnu",
    "LOG_LEVEL": "trace",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "CELERY_RESULT_BACKEND": "rpc://",
    "RESULT_BACKEND": "rpc://",
    "FORKED_BY_MULTIPROCESSING": "1",
    "FLOWER_URL_PREFIX": "flower",
    "FLOWER_BASIC_AUTH": "nobody",
    "GUNICORN_CMD_ARGS": "--workers 7",
    "WEB_CONCURRENCY": "7",
    "FLASK_DEBUG": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PGHOST": "elsewhere.example",
    "PGDATESTYLE": "German",
    "http_proxy": "http://127.0.0.1:1",
}
