"""What people decide: cancel, redrive, resubmit, close a dead letter, take a job.

Each is recorded with who and why.
"""
