"""What gunicorn serves: `surefoot.web.wsgi:flask_app`."""

from __future__ import annotations

from gunicorn.errors import AppImportError

from surefoot.app import environment, metrics
from surefoot.app.config import settings
from surefoot.app.errors import DefinitionError, SettingsError
from surefoot.web.factory import create_app

environment.clear_of_libraries()
try:
    metrics.start(settings().home)
    flask_app = create_app()
except (SettingsError, DefinitionError) as error:
    raise AppImportError(
        f"surefoot: {error.message}"
    ) from None  # gunicorn prints it, and does not try again for ever
