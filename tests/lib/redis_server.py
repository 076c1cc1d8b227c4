"""A redis-server of a test's own, as the deployment runs it: nothing on disk, nothing evicted. It can be killed, frozen, and come back empty."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from router import Process, free_port, wait_until

START_S = 10


class Redis:
    """with Redis() as redis: redis.url is a router's REDIS_URL."""

    def __init__(self, password=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = free_port()
        self.password = password
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder), "--logfile", "redis-server.log"]
        words += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
        words += ["--requirepass", self.password] if self.password else []
        self.process = Process("redis", ["redis-server", *words], dict(os.environ), self.folder)
        wait_until("Redis answers", START_S, lambda: self.cli("PING") == "PONG")

    def cli(self, *words):
        """What it answers, as text; nothing when it does not."""
        env = {"PATH": os.environ["PATH"], **({"REDISCLI_AUTH": self.password} if self.password else {})}
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], env=env, capture_output=True, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else ""

    def kill(self):
        self.process.kill()
        self.process = None

    @contextlib.contextmanager
    def frozen(self):
        self.process.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.popen.send_signal(signal.SIGCONT)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        if self.process:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
