"""`celery -A surefoot.workers.bench.plain_worker worker`: the plain peers' workers."""

from __future__ import annotations

from surefoot.workers.bench.plain import make_worker

celery_app = make_worker()
