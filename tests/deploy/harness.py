"""Whole processes for tests: starts them, reads their lines, and waits for what they should say.

Nothing here sleeps for a fixed time: every wait is for a condition, with a deadline.
"""
# SPDX-License-Identifier: Apache-2.0
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

PARAMD = os.environ["PARAMD"]
TINY_WORKER = os.environ["TINY_WORKER"]
DEADLINE = 40.0  # seconds; far above what anything takes here


def clean_environment(**more):
    """The environment without anything that describes a cluster."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PS_") and k != "TF_CONFIG"}
    env.update({k: str(v) for k, v in more.items()})
    return env


class Port:
    """A free port of 127.0.0.1 that nobody else is given: bound, but not listening."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.number = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.number}"

    def close(self):
        self.socket.close()


class Process:
    """A process in a group of its own, whose output is read as it comes."""

    def __init__(self, argv, cwd, **env):
        self.argv = [str(word) for word in argv]
        self.lines = []  # of both streams, in the order they were read
        self.stdout = ""
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            self.argv, cwd=cwd, env=clean_environment(**env), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
            errors="replace")
        self.pid = self.process.pid
        self.readers = [threading.Thread(target=self._read, args=(stream, stream is self.process.stdout))
                        for stream in (self.process.stdout, self.process.stderr)]
        for reader in self.readers:
            reader.start()

    def _read(self, stream, is_stdout):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                if is_stdout:
                    self.stdout += line
                self.changed.notify_all()
        stream.close()
        with self.changed:
            self.changed.notify_all()

    def text(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_line(self, pattern, timeout=DEADLINE):
        """The match of the first line, past or to come, that contains pattern."""
        deadline = time.monotonic() + timeout
        with self.changed:
            seen = 0
            while True:
                for line in self.lines[seen:]:
                    match = re.search(pattern, line)
                    if match:
                        return match
                seen = len(self.lines)
                left = deadline - time.monotonic()
                over = not any(reader.is_alive() for reader in self.readers)
                if left <= 0 or over:
                    why = "the process ended" if over else f"{timeout} s passed"
                    raise AssertionError(f"no line with {pattern!r}: {why}\n{self.describe()}")
                self.changed.wait(min(left, 0.5))

    def wait(self, timeout=DEADLINE):
        """The exit code; -n for signal n."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s\n{self.describe()}") from None
        for reader in self.readers:
            reader.join(timeout)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for reader in self.readers:
            reader.join(5)

    def describe(self):
        return f"$ {' '.join(self.argv)}\n" + "\n".join(self.lines)


def await_condition(condition, what, timeout=DEADLINE):
    """Polls until condition() is true; its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def processes_with(text):
    """pids of processes whose command line contains text."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{name}/stat") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if text in command and state != "Z":
            found.append(int(name))
    return found


class ProcessTest(unittest.TestCase):
    """A directory of its own, and nothing left running afterwards."""

    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="paramd-test-")
        self.processes = []
        self.ports = []

    def tearDown(self):
        for process in self.processes:
            process.kill()
        for port in self.ports:
            port.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def port(self):
        self.ports.append(Port())
        return self.ports[-1]

    def start(self, *argv, **env):
        process = Process(argv, self.directory, **env)
        self.processes.append(process)
        return process

    def run_to_end(self, *argv, **env):
        process = self.start(*argv, **env)
        process.code = process.wait()
        return process

    def assert_exit(self, process, code, timeout=DEADLINE):
        self.assertEqual(process.wait(timeout), code, process.describe())

    def touch(self, name):
        with open(self.path(name), "w"):
            pass

    def await_file(self, name):
        await_condition(lambda: os.path.exists(self.path(name)), f"file {name}")
