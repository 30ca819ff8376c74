"""What people and programs see: the HTTP API and the pages.

The hazard: input from anybody, and a request that waits for something that is down. So a body is
measured before it is read and scanned before it is parsed (`body`), every error leaves as problem
details (`api/problems`), every route is closed unless it is named open (`api/auth`), and after the
commit nobody waits long for the broker (`bell`).
"""

from __future__ import annotations

from surefoot.web.factory import create_app

__all__ = ["create_app"]
