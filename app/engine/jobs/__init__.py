"""A job's changes: each is one transaction under the job's lock.

`transaction` is that lock; `submit` and `intake` let a job in; `operations` claims, completes,
parks and fails; `release` and `compensation` say what follows going forward and going back;
`dispatch` publishes after the commit.
"""
