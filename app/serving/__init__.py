"""How the web server reads requests and writes answers: gunicorn's threaded worker, with all
waiting for peers in its loop.

The hazard: a pool of sixteen threads lent to anybody. gunicorn reads a head, a body, and
writes an answer in a thread that waits as long as the peer likes, so sixteen peers with one byte
each stop the server. Here a thread is given to a request that is there as a whole, and taken back
when its answer is made; the loop (`worker`) does the waiting, with an end for each wait
(`connection`), a bound for connections, and one for the bytes that are kept meanwhile.
"""

WORKER = "surefoot.app.serving.worker.BufferingWorker"  # gunicorn's `worker_class`
