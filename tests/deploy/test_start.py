"""How a cluster comes together: any order, late tasks, wrong ports, wrong versions."""
# SPDX-License-Identifier: Apache-2.0
import itertools
import time
import unittest
from concurrent import futures

import grpc

from harness import PARAMD, TINY_WORKER, ProcessTest

JOB = ("var", "w", "float", "4,3", "1.5", "init", "print", "w", "push", "w", "0.5", "print", "w")


class Start(ProcessTest):
    def cluster(self, ps_count=2, worker_count=2):
        """A function that starts task (job, index) of one cluster."""
        hosts = ",".join(self.port().address for _ in range(ps_count))

        def start(task, *more):
            job, index = task
            program = (PARAMD, "ps") if job == "ps" else (TINY_WORKER,)
            words = () if job == "ps" else JOB
            return self.start(*program, f"--ps_hosts={hosts}", f"--worker_count={worker_count}",
                              f"--job_name={job}", f"--task_index={index}", *more, *words)

        start.hosts = hosts
        return start

    def test_any_order(self):
        tasks = [("ps", 0), ("ps", 1), ("worker", 0), ("worker", 1)]
        # Every task is once the first and once the last; each starts after the one before it spoke.
        orders = list(itertools.permutations(tasks))[::5]
        self.assertEqual({order[0] for order in orders} | {order[-1] for order in orders}, set(tasks))
        for order in orders:
            with self.subTest(order=order):
                start = self.cluster()
                started = []
                for task in order:
                    started.append(start(task))
                    started[-1].wait_line("cluster: 2 ps, 2 workers")
                for process in started:
                    self.assert_exit(process, 0)
                printed = [p.stdout.split() for p in started if p.stdout]
                self.assertEqual(len(printed), 2)
                # Whoever pushed last saw both pushes: 1.5 - 2 * 0.5.
                self.assertIn("0.5", [words[-1] for words in printed])

    def test_worker_waits_for_a_late_ps_and_says_for_whom(self):
        start = self.cluster(ps_count=2, worker_count=1)
        first = start(("ps", 0))
        first.wait_line("listening on")
        worker = start(("worker", 0))
        address = start.hosts.split(",")[1]
        worker.wait_line(rf"waiting for 1 of 2 ps tasks \(\d+ s of 300 s\): /job:ps/task:1 at {address}"
                         r" - .*connection refused \(nothing listens there\).*paramd health")
        second = start(("ps", 1))
        for process in (worker, first, second):
            self.assert_exit(process, 0)
        self.assertEqual(worker.stdout.split(), ["w", "1.5", "w", "1"])

    def test_ps_comes_up_20_seconds_late(self):
        start = self.cluster(ps_count=1, worker_count=1)
        late = time.monotonic() + 20
        worker = start(("worker", 0))
        worker.wait_line(r"waiting for 1 of 1 ps tasks \(3 s of")
        worker.wait_line(r"waiting for 1 of 1 ps tasks \(10 s of")
        while time.monotonic() < late:  # the lateness itself is what is tested
            self.assertIsNone(worker.process.poll(), worker.describe())
            time.sleep(0.2)
        ps = start(("ps", 0))
        self.assert_exit(worker, 0)
        self.assert_exit(ps, 0)

    def test_wrong_port_gives_up_at_the_deadline(self):
        start = self.cluster(ps_count=1, worker_count=1)
        before = time.monotonic()
        worker = start(("worker", 0), "--start_timeout=2")
        self.assert_exit(worker, 201)
        self.assertGreaterEqual(time.monotonic() - before, 2)
        self.assertRegex(worker.text(),
                         rf"gave up after 2 s: 1 of 1 ps tasks are missing, /job:ps/task:0 at {start.hosts} - "
                         r".*connection refused \(nothing listens there\).*Try: paramd health " + start.hosts)

    def test_port_in_use_names_who_has_it(self):
        start = self.cluster(ps_count=1, worker_count=1)
        first = start(("ps", 0))
        first.wait_line("listening on")
        second = start(("ps", 0))
        self.assert_exit(second, 68)
        self.assertRegex(second.text(), rf"cannot listen on {start.hosts}: in use by pid {first.pid} \(.*ps.*\)\. "
                         "Stop it, or --port=0 to take a free one")
        self.assertIsNone(first.process.poll())

    def test_port_0_takes_a_free_one_and_tells_it(self):
        start = self.cluster(ps_count=1, worker_count=1)
        ps = start(("ps", 0), "--port=0", f"--port_file={self.path('port')}")
        port = ps.wait_line(r"listening on 127\.0\.0\.1:(\d+)").group(1)
        self.await_file("port")
        with open(self.path("port")) as file:
            self.assertEqual(file.read().strip(), port)
        self.assertNotEqual(port, start.hosts.rpartition(":")[2])
        self.assertEqual(self.run_to_end(PARAMD, "health", f"127.0.0.1:{port}").code, 0)

    def test_two_clusters_mixed_up(self):
        one = self.cluster(ps_count=1, worker_count=1)
        other = self.cluster(ps_count=1, worker_count=1)
        for start in (one, other):
            start(("ps", 0)).wait_line("listening on")
        worker = self.start(TINY_WORKER, f"--ps_hosts={one.hosts},{other.hosts}", "--worker_count=1",
                            "--job_name=worker", "--start_timeout=5", *JOB)
        code = worker.wait()
        self.assertIn(code, (64, 65, 76), worker.describe())
        self.assertRegex(worker.text(), r"says that it is ps/0|is ps/0|is /job:ps/task:0|another job|two clusters")

    def test_ps_with_mixed_up_addresses(self):
        start = self.cluster(ps_count=2, worker_count=1)
        start(("ps", 0)).wait_line("listening on")
        a, b = start.hosts.split(",")
        status = self.run_to_end(PARAMD, "status", f"--ps_hosts={b},{a}", "--timeout=2s")
        self.assertNotEqual(status.code, 0)
        self.assertRegex(status.text(), rf"{a} is /job:ps/task:0, but the cluster description calls it "
                         r"/job:ps/task:1")


def encode_hello(protocol, version):
    """A HelloReply by hand: field 1 varint, field 2 text, field 3 a header with a job."""
    return (bytes([0x08, protocol, 0x12, len(version)]) + version.encode()
            + bytes([0x1A, 11, 0x09]) + (7).to_bytes(8, "little") + bytes([0x10, 1])
            + bytes([0x28, 1]))


class OtherVersion(grpc.GenericRpcHandler):
    """Answers Hello as a paramd of the future would."""

    def service(self, details):
        if not details.method.endswith("/Hello"):
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: encode_hello(99, "9.9.9"))


class Version(ProcessTest):
    def setUp(self):
        super().setUp()
        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[OtherVersion()])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def tearDown(self):
        self.server.stop(0)
        super().tearDown()

    def test_worker_names_both_versions(self):
        worker = self.run_to_end(TINY_WORKER, f"--ps_hosts={self.address}", "--worker_count=1", *JOB)
        self.assertEqual(worker.code, 76, worker.describe())
        self.assertRegex(worker.text(), rf"version mismatch: .*{self.address} is 9\.9\.9 \(protocol 99\).*\(protocol 1\)")

    def test_tools_name_both_versions(self):
        status = self.run_to_end(PARAMD, "status", f"--ps_hosts={self.address}")
        self.assertEqual(status.code, 76, status.describe())
        self.assertRegex(status.text(), rf"version mismatch: .*{self.address} is paramd 9\.9\.9 \(protocol 99\)")


if __name__ == "__main__":
    unittest.main(verbosity=2)
