"""The relay's duties, one or two a module: each has a name and `run_once`, and knows no other.

Everything repeats its guard when it writes, so two relays at once, or one that slept, do no harm.
"""
