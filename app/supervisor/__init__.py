"""`surefoot up`: everything Surefoot needs, on this machine, as one thing that starts, lives and
ends together.

The hazard: processes that outlive the one that started them. They hold ports and files, they go on
running jobs with yesterday's code, and the next start meets them. The answer has four parts:

* each part is the leader of a process group of its own, so that Ctrl-C reaches the supervisor
  alone, which stops the parts in order, each with a budget, and then its whole group by SIGKILL;
* on Linux the kernel kills a part when the supervisor ends (`leash.py`), and everywhere a second
  process does (`watchdog.py`): a supervisor that is killed can tidy up nothing itself;
* a part that ends is started again after a pause that doubles, and what was left of its group is
  killed first;
* a lock on the home (`home.py`) refuses a second start.

`part.py` says what a part is, `stack.py` which parts there are, `supervisor.py` how they live;
`up.py` is the command. Left to the caller: to call `Supervisor` from the main thread, where signals
arrive and leashes hold.
"""
