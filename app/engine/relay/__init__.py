"""The relay's side: find what a crash left behind, each by a partial index, and heal it with the
ordinary changes.

`relay` is the round, `duties` holds its parts. They are isolated from each other
(`engine.isolation`).
"""
