"""What gunicorn serves: `web.wsgi:flask_app`."""

from __future__ import annotations

from web.factory import create_app

flask_app = create_app()
