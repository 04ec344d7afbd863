"""The launcher: what it leaves, how it ends, and that nobody outlives it."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import signal
import unittest
import uuid

from harness import PARAMD, TINY_WORKER, ProcessTest, await_condition, processes_with

JOB = ("var", "w", "float", "4,3", "1.5", "init", "push", "w", "0.5", "print", "w")


class Launch(ProcessTest):
    def launch(self, *flags, command=(TINY_WORKER,) + JOB, **env):
        return self.start(PARAMD, "launch", *flags, "--", *command, **env)

    def await_launched(self, ps=1, workers=1, command=()):
        """A launch whose workers wait for the file 'go'; ready is there when worker 0 is."""
        words = command or (TINY_WORKER, "var", "w", "float", "2", "1", "init", "touch", "ready",
                            "await", "go")
        launch = self.launch(f"--ps={ps}", f"--workers={workers}", "--grace=1s", command=words)
        self.await_file("ready")
        return launch

    def run_directory(self):
        return os.path.realpath(self.path("run/latest"))

    def summary(self):
        with open(os.path.join(self.run_directory(), "summary.json")) as file:
            return json.load(file)

    def pid_of(self, job, index):
        """pid of a task of this test's launch, by its environment."""
        found = []
        for pid in processes_with("paramd" if job == "ps" else TINY_WORKER):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    env = dict(e.split(b"=", 1) for e in file.read().split(b"\0") if b"=" in e)
            except OSError:
                continue
            if (env.get(b"PS_SUMMARY_DIR", b"").decode() == self.run_directory()
                    and env.get(b"PS_JOB_NAME", b"").decode() == job
                    and env.get(b"PS_TASK_INDEX", b"").decode() == str(index)):
                found.append(pid)
        self.assertEqual(len(found), 1, (job, index))
        return found[0]

    def assert_nobody_left(self, *launches):
        for launch in launches:
            self.assertIn("no process is left", launch.text())
        self.assertEqual(processes_with(self.directory), [])

    def test_job_completes_and_leaves_logs_and_summary(self):
        launch = self.launch("--ps=2", "--workers=2")
        self.assert_exit(launch, 0)
        self.assertRegex(launch.stdout, r"(?m)^worker/[01] +\| w 0\.5$")
        names = set(os.listdir(self.run_directory()))
        self.assertEqual(names, {"ps-0.log", "ps-1.log", "worker-0.log", "worker-1.log",
                                 "worker-0.json", "worker-1.json", "cluster.json", "summary.json"})
        summary = self.summary()
        self.assertEqual(summary["exit_code"], 0)
        self.assertEqual(summary["steps"], 2)
        self.assertEqual(summary["pushes"], 2)
        self.assertEqual(summary["pulls"], 2)
        self.assertEqual((summary["dropped"], summary["refused"]), (0, 0))
        self.assertEqual(summary["workers_reported"], 2)
        self.assertIsNone(summary["test_accuracy"])
        shares = [summary[f"{name}_share"] for name in ("compute", "communication", "wait")]
        self.assertAlmostEqual(sum(shares), 1.0, places=3)
        self.assertEqual([t["exit_code"] for t in summary["tasks"]], [0, 0, 0, 0])
        self.assertEqual(summary["command"], [TINY_WORKER, *JOB])
        with open(os.path.join(self.run_directory(), "ps-0.log")) as file:
            self.assertRegex(file.readline(), r"cluster: 2 ps, 2 workers .*I am /job:ps/task:0, listening on")
        self.assertIn("job complete at step 2", launch.text())
        self.assert_nobody_left(launch)

    def test_json_is_all_there_is_on_standard_output(self):
        launch = self.launch("--json", "--dir=deep/runs")
        self.assert_exit(launch, 0)
        self.assertEqual(json.loads(launch.stdout)["steps"], 1)
        self.assertIn("w 1", launch.text())
        self.assertTrue(os.path.exists(self.path("deep/runs/latest/summary.json")))

    def test_our_own_worker_is_the_default(self):
        launch = self.launch("--ps=2", "--workers=2",
                             command=("--data=synthetic", "--layers=784-10", "--steps=40", "--batch=20"))
        self.assert_exit(launch, 0)
        summary = self.summary()
        self.assertGreaterEqual(summary["steps"], 40)
        self.assertGreater(summary["test_accuracy"], 0.2)
        self.assertGreater(summary["examples_per_second"], 0)
        self.assertIn("test accuracy", launch.text())

    def test_two_jobs_at_once(self):
        one, other = (self.launch("--ps=2", "--workers=2") for _ in range(2))
        self.assert_exit(one, 0)
        self.assert_exit(other, 0)
        runs = [name for name in os.listdir(self.path("run")) if name != "latest"]
        self.assertEqual(len(runs), 2)
        self.assert_nobody_left(one, other)

    def test_environment_of_another_cluster_does_no_harm(self):
        launch = self.launch(PS_CLUSTER="{broken", TF_CONFIG="{broken", PS_WORKER_HOSTS="x:1",
                             PS_HOSTS="y:1", PS_JOB_NAME="ps", PS_TASK_INDEX="7")
        self.assert_exit(launch, 0)

    def test_failed_worker_ends_the_job_with_its_code_and_last_lines(self):
        script = 'i=0; while [ $i -lt 30 ]; do echo "said $i" >&2; i=$((i+1)); done; exit 65'
        launch = self.launch("--ps=2", "--workers=1", command=("sh", "-c", script))
        self.assert_exit(launch, 65)
        text = launch.text()
        told = text[text.index("worker/0 ended with exit code 65"):]
        self.assertIn("its last 20 lines", told)
        self.assertIn("said 10\n", told)
        self.assertIn("said 29\n", told)
        self.assertNotIn("said 9\n", told)
        self.assertEqual(self.summary()["exit_code"], 65)
        self.assert_nobody_left(launch)

    def test_program_that_is_not_there(self):
        launch = self.launch(command=("./no-such-program",))
        self.assert_exit(launch, 66)
        self.assertIn("cannot start './no-such-program': No such file or directory", launch.text())
        self.assert_nobody_left(launch)

    def test_forgotten_dashes(self):
        launch = self.run_to_end(PARAMD, "launch", "--ps", "2", "./my-worker")
        self.assertEqual(launch.code, 64)
        self.assertIn("'./my-worker': what the workers run comes after --", launch.text())

    def test_killed_worker(self):
        launch = self.await_launched(ps=2, workers=2)
        os.kill(self.pid_of("worker", 1), signal.SIGKILL)
        self.assert_exit(launch, 128 + signal.SIGKILL)
        self.assertIn("worker/1 was killed by signal 9 (Killed)", launch.text())
        self.assert_nobody_left(launch)

    def test_killed_ps(self):
        launch = self.await_launched(ps=2, workers=2)
        os.kill(self.pid_of("ps", 1), signal.SIGKILL)
        self.assert_exit(launch, 128 + signal.SIGKILL)
        self.assertIn("ps/1 was killed by signal 9 (Killed)", launch.text())
        self.assert_nobody_left(launch)

    def test_sigterm_to_a_worker(self):
        launch = self.await_launched()
        os.kill(self.pid_of("worker", 0), signal.SIGTERM)
        self.assert_exit(launch, 128 + signal.SIGTERM)
        self.assertIn("worker/0 was killed by signal 15 (Terminated)", launch.text())
        self.assert_nobody_left(launch)

    def test_sigterm_to_a_ps_of_a_running_job(self):
        launch = self.await_launched()
        os.kill(self.pid_of("ps", 0), signal.SIGTERM)
        self.assert_exit(launch, 200)
        self.assertIn("SIGTERM: finishing what is in flight", launch.text())
        self.assertIn("a ps task has ended, but workers still run", launch.text())
        self.assert_nobody_left(launch)

    def test_sigterm_and_sigint_to_the_launcher(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                launch = self.await_launched(ps=2, workers=2)
                launch.signal(number)
                self.assert_exit(launch, 128 + number)
                self.assertEqual(self.summary()["exit_code"], 128 + number)
                self.assert_nobody_left(launch)
                os.unlink(self.path("ready"))

    def test_task_that_ignores_sigterm_is_killed(self):
        launch = self.await_launched(command=("sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.05; done"))
        launch.signal(signal.SIGTERM)
        self.assert_exit(launch, 128 + signal.SIGTERM)
        self.assertIn("tasks still run 1 s after they were asked to end; killing them", launch.text())
        self.assert_nobody_left(launch)

    def test_ps_tasks_that_stay_are_an_error(self):
        # The program is no session, so the ps tasks never hear of a worker.
        launch = self.launch("--grace=1s", command=("true",))
        self.assert_exit(launch, 70)
        self.assertIn("the workers are done, but ps tasks still run 1 s later; stopping them", launch.text())
        self.assert_nobody_left(launch)

    def test_what_workers_leave_behind_is_killed(self):
        marker = f"marker-{uuid.uuid4().hex}"
        script = (f"setsid sh -c 'while :; do sleep 1; done' {marker} & "
                  f"sh -c 'while :; do sleep 1; done' {marker} & exec \"$@\"")
        launch = self.launch(command=("sh", "-c", script, "sh", TINY_WORKER) + JOB)
        self.assert_exit(launch, 0)
        self.assertRegex(launch.text(), r"killed \d+ processes that tasks had left behind")
        self.assertEqual(processes_with(marker), [])
        self.assert_nobody_left(launch)

    def test_launcher_killed_outright_takes_its_tasks_along(self):
        launch = self.await_launched(ps=2, workers=2)
        pids = [self.pid_of(job, i) for job in ("ps", "worker") for i in (0, 1)]
        launch.signal(signal.SIGKILL)
        await_condition(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids),
                        "tasks end with their launcher")


class PsAlone(ProcessTest):
    def ps(self, *flags):
        self.hosts = self.port().address
        ps = self.start(PARAMD, "ps", f"--ps_hosts={self.hosts}", "--worker_count=1", *flags)
        ps.wait_line("listening on")
        return ps

    def test_sigterm_and_sigint_end_it_well(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                ps = self.ps()
                ps.signal(number)
                self.assert_exit(ps, 0)

    def test_it_ends_by_itself_when_every_worker_has_finished(self):
        ps = self.ps()
        worker = self.run_to_end(TINY_WORKER, f"--ps_hosts={self.hosts}", "--worker_count=1", *JOB)
        self.assertEqual(worker.code, 0, worker.describe())
        self.assert_exit(ps, 0)
        self.assertIn("job complete at step 1", ps.text())

    def test_keep_alive_goes_on(self):
        ps = self.ps("--keep_alive")
        for _ in range(2):
            worker = self.run_to_end(TINY_WORKER, f"--ps_hosts={self.hosts}", "--worker_count=1", *JOB)
            self.assertEqual(worker.code, 0, worker.describe())
        self.assertEqual(self.run_to_end(PARAMD, "health", self.hosts).code, 0)
        ps.signal(signal.SIGTERM)
        self.assert_exit(ps, 0)

    def test_orphan_ends_with_a_code_of_its_own(self):
        ps = self.ps("--orphan_timeout=500ms")
        self.assert_exit(ps, 202)

    def test_heartbeat(self):
        ps = self.ps("--heartbeat=100ms", "--keep_alive")
        ps.wait_line(r"ps: step 0; 0 variables, 0 B; 0 pulls/s, 0 pushes/s, in \d+ k?B/s, out \d+ k?B/s")
        worker = self.run_to_end(TINY_WORKER, f"--ps_hosts={self.hosts}", "--worker_count=1", *JOB)
        self.assertEqual(worker.code, 0, worker.describe())
        ps.wait_line(r"ps: step 1; 1 variables, 48 B; ")

    def test_json_log(self):
        ps = self.ps("--log_format=json")
        line = json.loads(ps.text().splitlines()[0])
        self.assertEqual(line["process"], "/job:ps/task:0")
        self.assertIn("listening on " + self.hosts, line["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
