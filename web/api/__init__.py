"""The HTTP API under /api/v1, and health."""
