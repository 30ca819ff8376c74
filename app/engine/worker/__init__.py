"""A worker's side: claim an operation, call the developer's function, put on record how it went.

`execute` does one operation, behind the `gates` that a step passes first; `invoke` calls the
function, after `recovery` has asked what an earlier attempt left; `leases` keeps what a worker
holds.
"""
