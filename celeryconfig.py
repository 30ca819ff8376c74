"""Celery's settings, one module for everybody: web, relay, workers and Flower read the same names.

Celery carries small messages ("run operation X of job J") and nothing else. Attempts, timers, results, joins and
leases live in the store, so most of what Celery offers for those is switched off here; each value says why.
Profiles that differ (a web request must not wait, a worker may) are in `app/delivery/producer.py`.
"""

from __future__ import annotations

from surefoot.app.config import settings
from surefoot.app.delivery import amqp
from surefoot.app.delivery.queues import on_broker

_settings = settings()

# --- the broker ------------------------------------------------------------------------------------------------
# Not set: whoever starts this process provides one (`surefoot up` runs a Redis of its own).
broker_url = _settings.broker_url or "redis://127.0.0.1:6379/0"
# A worker waits for its broker for ever: an outage must cost seconds, not a restart of every worker.
broker_connection_retry = True
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# A closed channel (RabbitMQ's consumer_timeout) is a reason to reconnect, not to exit.
broker_channel_error_retry = True
broker_connection_timeout = 4.0
# broker_pool_limit stays at its default: with 2, Flower waits for a producer for ever.
_redis_options = {
    # Twice the longest lane + 5 minutes; `surefoot.workers.lanes` puts in the figure of the lanes that this worker knows. It only
    # decides when the broker itself rings again: the lease and the sweep of the store are minutes earlier.
    "visibility_timeout": 2 * _settings.lane_limit_seconds("slow") + 300.0,
    # The sweep over unacked messages really runs every 5 s (the default is 10 s and only each tenth does any work).
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_restore_limit": 1000,
    # One Redis may serve another Celery, too. Messages that a worker holds lie in a table of all workers, each of which
    # puts back what is older than *its* visibility timeout: so ours have tables of their own.
    "unacked_key": on_broker("unacked"),
    "unacked_index_key": on_broker("unacked_index"),
    "unacked_mutex_key": on_broker("unacked_mutex"),
    # Undo queues are always asked first, lanes among themselves in turn: money back never waits behind new orders.
    "queue_order_strategy": "surefoot.app.delivery.queues:UndoFirst",
    # Celery priorities are not used, so each queue is one Redis key instead of four. The same on both sides.
    "priority_steps": [0],
    # A frozen broker is noticed: above the blocking pop of 1 s, far below for ever (the default).
    "socket_timeout": 5.0,
    "socket_connect_timeout": 2.0,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
}
# A frozen RabbitMQ is noticed too. Workers publish nothing but events here; what producers send is confirmed (`app/delivery/producer.py`).
broker_transport_options = (
    amqp.transport_options(10.0, confirm=False) if amqp.is_amqp(broker_url) else _redis_options
)
# RabbitMQ closes a connection on which nothing was heard for twice this long, and so do we; its default is a minute.
broker_heartbeat = 10.0

# --- messages --------------------------------------------------------------------------------------------------
task_serializer = "json"
accept_content = ["json"]  # pickle would run whatever anybody puts into a queue
task_create_missing_queues = True  # a producer knows no lane; a message names its queue
task_create_missing_queue_type = (
    "quorum" if amqp.is_amqp(broker_url) else "classic"
)  # on RabbitMQ only (`surefoot.app.delivery.amqp`)
task_default_queue = on_broker(
    "unrouted"
)  # where a message without a queue would go: nobody consumes it, and nothing of ours sends one
task_inherit_parent_priority = False

# --- results: none ---------------------------------------------------------------------------------------------
# Outcomes are rows of the store. The backend keeps nothing; it lets the store decide when a chord's body leaves.
result_backend = "surefoot.app.delivery.backend.StoreBackend"
task_ignore_result = True
task_store_errors_even_if_ignored = False
task_track_started = False

# --- acknowledging ---------------------------------------------------------------------------------------------
# Early acks lose the rest of a chain when a worker dies.
task_acks_late = True
# Whether a failure is tried again is decided by rows; requeueing would loop, Redis counts no deliveries.
task_acks_on_failure = True
# The message of a killed child, or of one past Celery's limit, comes back at once, after its claim was ended
# (`surefoot.workers.request`). Safe only because the store counts attempts before user code runs.
task_reject_on_worker_lost = True
task_acks_on_timeout = False
task_retry_on_worker_lost = False  # would hold a timer in a worker's memory
worker_deduplicate_successful_tasks = (
    False  # needs results, and was seen to turn a repeat into a loss
)

# --- publishing from a worker ----------------------------------------------------------------------------------
# No retry inside the publish: the store knows what is unsent, the sweep sends it. A child never waits for a broker.
task_publish_retry = False
task_publish_retry_policy = {
    "max_retries": 1,
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}

# --- the worker ------------------------------------------------------------------------------------------------
# Prefork: time limits, and kills that hit one operation, exist only there. Its children retire when a step has harmed them.
worker_pool = "surefoot.workers.pool:TaskPool"
worker_consumer = "surefoot.workers.consumer:StepConsumer"
# One message per child, so that a waiting message can go to an idle worker.
worker_prefetch_multiplier = 1
worker_disable_rate_limits = True
# After a lost connection the figure above is kept: reducing it bit by bit helps only with long prefetch.
worker_enable_prefetch_count_reduction = False
# A step that is running when the broker goes goes on: its outcome is for the store. Fences make a double harmless.
worker_cancel_long_running_tasks_on_connection_loss = False
worker_eta_task_limit = 100  # nothing of ours has an ETA (they are quarantined); a bound in case
# Leaks end with the child that has them. Checked after a task, so it is no defence against one that explodes.
worker_max_tasks_per_child = 2000
worker_max_memory_per_child = 400_000  # KiB
worker_proc_alive_timeout = 30.0  # a busy machine needs longer than 4 s to start a child
worker_lost_wait = 2.0  # seconds until a dead child's message is put back; 10 by default
# Celery's own soft shutdown sleeps inside a signal handler: acks stand still and it never ends early. Ours is
# `surefoot.workers.drain`; `surefoot` also sets REMAP_SIGTERM=SIGQUIT, so that children ignore a SIGTERM to the whole group.
worker_soft_shutdown_timeout = 0.0

# Events and remote control go among processes of ours: another Celery's Flower does not list our workers, and its
# commands do not reach them.
event_exchange = on_broker("events")
event_queue_prefix = on_broker("events")
control_exchange = on_broker("control")

# --- being watched ---------------------------------------------------------------------------------------------
worker_send_task_events = True  # Flower shows nothing without
task_send_sent_event = True  # and shows queued operations only with this
worker_hijack_root_logger = False
worker_redirect_stdouts = False  # a print in a step goes to the log file as it is
worker_log_format = "%(asctime)s %(levelname)s %(processName)s %(message)s"
worker_task_log_format = worker_log_format
enable_utc = True
timezone = "UTC"
