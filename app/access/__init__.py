"""Who may see and do what: tenants, keys and their roles, and texts that only we can have signed.

The hazard: a stolen copy of the table, a key in a log, a cursor or a cookie that somebody wrote
himself. So a key is stored as its SHA-256 and shown once; what leaves us and comes back (cursors,
the page's cookie) bears a signature whose purpose is part of it, so that one cannot be used as the
other. A cookie names a key and is worth nothing once that key is revoked. What is left to the
caller: every read of a job names the principal's tenant.
"""
