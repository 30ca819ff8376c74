"""What `surefoot bench` runs: sagas of empty steps, their plain peers in Celery, and a loop written
by hand.

Nothing here is imported by the product; the bench starts it by module name and tells it by
environment variables.
"""
