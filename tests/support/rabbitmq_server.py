"""A real RabbitMQ of our own, which tests stop, freeze, empty, and have close its connections.

Debian's package: the scripts under /usr/lib/rabbitmq, not the wrappers that insist on its own user. A root (in a container)
runs it as `rabbitmq` or `nobody`. It has an Erlang port mapper, a node name, a cookie and files of its own, so that it
meets no other RabbitMQ of this machine, and it ends with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from surefoot.app.delivery import broker
from surefoot.app.supervisor.leash import leashed
from tests.support.ports import free_port
from tests.support.processes import unprivileged
from tests.support.waiting import wait_until

START_S = 120.0
STOP_S = 30.0
ANSWER_S = 5.0
PLACES = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")


def find() -> Path | None:
    """The directory that has rabbitmq-server and rabbitmqctl; None when there is none, or no Erlang."""
    if shutil.which("epmd") is None:
        return None
    return next(
        (Path(place) for place in PLACES if (Path(place) / "rabbitmq-server").exists()), None
    )


class RabbitMQServer:
    """One node on free ports of the loopback. It comes back on the same ports with its data.

    `settings`: lines of rabbitmq.conf.
    """

    def __init__(self, scripts: Path, **settings: str) -> None:
        self.scripts = scripts
        self.user = unprivileged("rabbitmq")
        self.directory = Path(tempfile.mkdtemp(prefix="surefoot-rabbitmq-"))
        self.port, self._epmd_port, self._dist_port = free_port(), free_port(), free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        lines = {
            "loopback_users": "none",
            "disk_free_limit.absolute": "50MB",
            "log.console": "false",
            **settings,
        }
        (self.directory / "rabbitmq.conf").write_text(
            "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        (self.directory / "plugins").write_text("[].\n")
        self.directory.chmod(0o700)
        if self.user:
            os.chown(self.directory, *self.user)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> RabbitMQServer:
        """Start it, and come back when it answers."""
        if self._epmd is None:
            epmd = shutil.which(
                "epmd"
            )  # the whole path: another user may not reach what Python needs for a search
            assert epmd is not None
            self._epmd = self._spawn(
                [epmd, "-address", "127.0.0.1", "-port", str(self._epmd_port)], "epmd.log"
            )
        self._process = self._spawn([str(self.scripts / "rabbitmq-server")], "said.log")
        wait_until(
            lambda: broker.ping(self.url, ANSWER_S) or not self.running,
            START_S,
            0.2,
            what="RabbitMQ to answer",
        )
        if not self.running:
            raise RuntimeError(
                f"RabbitMQ did not start: {(self.directory / 'said.log').read_text(errors='replace')[-2000:]}"
            )
        return self

    def stop(self, *, kill: bool = False) -> None:
        """Stop it (`kill`: by SIGKILL to all of it). Its data stay for the next start."""
        if self._process is None:
            return
        if self.running:
            os.killpg(self._process.pid, signal.SIGCONT)
            if not kill:
                self._process.terminate()
                try:
                    self._process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    pass
        self._end(self._process)
        self._process = None

    def close(self) -> None:
        """Stop everything, and delete its files."""
        self.stop(kill=True)
        if self._epmd is not None:
            self._end(self._epmd)
            self._epmd = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Delete the files of a stopped node: the next start is an empty one."""
        assert not self.running, "stop it first"
        shutil.rmtree(self.directory / "mnesia")

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl` says."""
        command = leashed([str(self.scripts / "rabbitmqctl"), *words], user=self.user)
        done = subprocess.run(
            command,
            env=self._env,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close_connections(self) -> None:
        """The broker closes every connection it has."""
        self.ctl("close_all_connections", "a test says so")

    @property
    def _env(self) -> dict[str, str]:
        here = str(self.directory)
        return {
            "PATH": os.environ["PATH"],
            "HOME": here,  # of the Erlang cookie
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": f"{here}/none",
            "RABBITMQ_NODENAME": f"surefoot{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            # the script becomes the node, so that its pid is the node's and the leash is the node's too
            "RUNNING_UNDER_SYSTEMD": "true",
            # two schedulers that do not spin: a test machine has others to serve
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _spawn(self, words: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        with (self.directory / log).open("ab") as said:
            command = leashed(words, user=self.user)
            return subprocess.Popen(
                command,
                env=self._env,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to its whole group: the script has the node for a child."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(STOP_S)
