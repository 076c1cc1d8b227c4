"""The router as several processes, any of which may be killed at any moment and is started again at once.

Two gateways, authsvc, two providersvc that share a spool, meterd; a third gateway that is never killed looks on: the
harness asks it for books and grants. tests/chaos/busprobe.c says when a restarted service answers.
"""
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from router import BIN, Process, Router, call, free_port  # noqa: E402

VICTIMS = ("gateway0", "gateway1", "authsvc", "providersvc0", "providersvc1", "meterd")
BUS_VICTIMS = VICTIMS[2:]
LOOK_S = 0.005
WATCH_S = 30  # a service that is not there after this is given up
CALL_TIMEOUT_MS = 6000
HOLD_GRACE_MS = 2000


@dataclasses.dataclass
class Life:
    """One process of a service, from its start to its kill. Times: CLOCK_MONOTONIC in seconds; wall_*: Unix ms."""

    name: str
    pid: int
    started: float
    wall_started: float
    answered: float = 0.0  # somebody got an answer from it
    ready: float = 0.0  # it takes work
    starved: float = 0.0  # until then: seconds that its threads could have run, and had no CPU
    killed: float = 0.0
    wall_killed: float = 0.0


def waited_for_cpu(pid):
    """What a machine that is busy with other things has cost a process so far, as the kernel counts it (schedstat)."""
    waited = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            waited.append(int(path.read_text().split()[1]))
        except (OSError, IndexError, ValueError):
            pass  # it has ended meanwhile
    return sum(waited) / 1e9


class Stack(Router):
    def __init__(self, transport="ipc", env=None):
        super().__init__(mode="processes", providers=2)
        self.transport = transport
        self.gateway_ports = {"gateway0": free_port(), "gateway1": free_port()}
        self.bus_ports = {name: free_port() for name in ("authsvc", "meterd", "feed", "events", "providersvc0", "providersvc1")}
        self.lives = []
        self.alive = {}  # name -> Life
        self.away = []  # threads that will start again what they killed, or let go on what they stopped
        self.standing = set()  # stopped now: not killed meanwhile, or few would stand longer than a lease
        self.pauses = []  # (from, until)
        self.lock = threading.Lock()
        self.probe = None
        self.extra = {
            "CALL_TIMEOUT_MS": str(CALL_TIMEOUT_MS),
            "HOLD_GRACE_MS": str(HOLD_GRACE_MS),
            "LOG_LEVEL": "info",
            "ECHO": "off",
            **(env or {}),
        }

    # ---- addresses ----

    def url(self, name):
        if self.transport == "tcp":
            return f"tcp://127.0.0.1:{self.bus_ports[name]}"
        return f"ipc://{self.folder}/{name}.ipc"

    def provider_url(self, i):
        return self.url(f"providersvc{i}")

    def environment(self):
        env = super().environment()
        env.update(
            AUTHSVC_URL=self.url("authsvc"),
            METERD_URL=self.url("meterd"),
            METERD_FEED_URL=self.url("feed"),
            METERD_EVENTS_URL=self.url("events"),
            **self.extra,
        )
        return env

    # ---- life ----

    def launch(self, name):
        env = self.environment()
        program = name.rstrip("01")
        if program == "providersvc":
            env["PROVIDERSVC_URL"] = self.url(name)
        if name in self.gateway_ports:
            env["PORT"] = str(self.gateway_ports[name])
        with self.lock:
            now, wall = time.monotonic(), time.time() * 1000
            process = Process(name, [str(BIN / program)], env, self.folder)
            self.processes[name] = process
            life = Life(name, process.pid, now, wall)
            self.alive[name] = life
            self.lives.append(life)
        if name in self.gateway_ports:
            threading.Thread(target=self.watch_gateway, args=(life,), daemon=True).start()
        return life

    def start(self):
        from router import Upstream

        self.upstream = Upstream(self.folder)
        argv = [str(BIN / "busprobe")] + [f"{name}={self.url(name)}" for name in BUS_VICTIMS]
        self.probe = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        threading.Thread(target=self.read_probe, daemon=True).start()
        for name in (*BUS_VICTIMS, *self.gateway_ports):
            self.launch(name)
        self.start_service("gateway")
        self.wait_ready()
        return self

    def read_probe(self):
        """Each line is a process that the probe met and that is ready: the one that lives now, as long as it was begun before."""
        for line in self.probe.stdout:
            name, _, answered, ready = line.decode().split()
            with self.lock:
                life = self.alive.get(name)
                if life and not life.ready and int(answered) / 1000 >= life.started - 0.001:
                    life.answered, life.ready = int(answered) / 1000, int(ready) / 1000
                    life.starved = waited_for_cpu(life.pid)

    def watch_gateway(self, life):
        port = self.gateway_ports[life.name]
        end = life.started + WATCH_S
        while time.monotonic() < end and not life.killed:
            try:
                if call(port, "GET", "/health", timeout=2).status == 200:
                    life.answered = life.ready = time.monotonic()
                    life.starved = waited_for_cpu(life.pid)
                    return
            except OSError:
                pass
            time.sleep(LOOK_S)

    def kill(self, name):
        """Its exit code when it had ended before, else None."""
        with self.lock:
            life, process = self.alive.pop(name), self.processes[name]
            ended = process.popen.poll()
            life.killed, life.wall_killed = time.monotonic(), time.time() * 1000
        process.kill()
        return ended

    def kill_and_restart(self, name):
        ended = self.kill(name)
        self.launch(name)
        return ended

    def kill_for(self, names, seconds):
        """They stay away for a while: whoever needs them has to do without."""
        ended = [(name, self.kill(name)) for name in names if name in self.alive]

        def back():
            time.sleep(seconds)
            for name, _ in ended:
                self.launch(name)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        self.away.append(thread)
        return ended

    def pause(self, name, seconds):
        """It stands still, with all its connections and locks, and goes on as if nothing had been: SIGSTOP, SIGCONT."""
        process = self.processes[name]
        process.popen.send_signal(signal.SIGSTOP)
        self.standing.add(name)
        begun = time.monotonic()

        def resume():
            time.sleep(seconds)
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGCONT)
            self.standing.discard(name)
            self.pauses.append((begun, time.monotonic()))

        thread = threading.Thread(target=resume, daemon=True)
        thread.start()
        self.away.append(thread)

    def all_back(self):
        for thread in self.away:
            thread.join()
        self.away = []

    def died(self):
        """Services that ended without being killed, with their exit code; each is started again."""
        out = []
        for name in list(self.alive):
            code = self.processes[name].popen.poll()
            if code is not None:
                out.append((name, code))
                self.kill_and_restart(name)
        return out

    def all_ready(self):
        with self.lock:
            return len(self.alive) == len(VICTIMS) and all(life.ready for life in self.alive.values())

    def stop(self):
        if self.probe:
            self.probe.terminate()
            self.probe.wait()
            self.probe.stdout.close()
            self.probe = None
        codes = {}
        for name in ("gateway", *VICTIMS):
            if name in self.processes:
                codes[name] = self.processes.pop(name).stop()
        return codes

    # ---- what they wrote ----

    def log_lines(self, request_id, most=30):
        out = []
        for path in sorted(self.folder.glob("*.log")):
            with open(path, errors="replace") as f:
                out += [f"{path.stem}: {line.rstrip()}" for line in f if request_id in line]
        return out[:most]


def recoveries(lives, pauses):
    """({service: [(seconds from exec to ready, of them starved)]}, {service: how many are left out}) of every process that was
    restarted.

    Left out: killed before it was ready; started while something stood still; and authsvc and providersvc, which learn from meterd, when it was not there all the time.
    """
    meterd_there = [(x.ready, x.killed or float("inf")) for x in lives if x.name == "meterd" and x.ready]
    times, left_out, first = {}, {}, set()
    for life in lives:
        service = life.name.rstrip("01")
        if life.name not in first:  # the very first start: there is no database yet, and all start at once
            first.add(life.name)
            continue
        needs_meterd = service in ("authsvc", "providersvc")
        stood = any(a <= life.ready and life.started <= b for a, b in pauses)
        if not life.ready or stood or needs_meterd and not any(a <= life.started and life.ready <= b for a, b in meterd_there):
            left_out[service] = left_out.get(service, 0) + 1
        else:
            took = life.ready - life.started
            times.setdefault(service, []).append((took, min(took, life.starved)))
    return times, left_out


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))] if values else 0.0


def keep_folder():
    return os.environ.get("KEEP", "") not in ("", "0")
