"""What gunicorn serves: `web.wsgi:flask_app`."""

from __future__ import annotations

from app import metrics
from app.config import settings
from web.factory import create_app

metrics.start(settings().home)
flask_app = create_app()
