"""What a user meets first when something is wrong: a message that says what, where, why and what to do."""
# SPDX-License-Identifier: Apache-2.0
import gzip
import struct
import unittest

from harness import PARAMD, TINY_WORKER, ProcessTest

# What is run, the exit code, and what the message must contain. {p} is a free port, {d} a directory.
PLAIN = {
    "unknown flag": (
        ["ps", "--wroker_hosts=h:1"], {}, 64,
        ["unknown flag '--wroker_hosts'; did you mean '--worker_hosts'?", "paramd ps --help"]),
    "unknown command": (
        ["stauts"], {}, 64, ["unknown command 'stauts'; did you mean 'status'?", "paramd --help"]),
    "bad value of a flag": (
        ["launch", "--ps=two"], {}, 64, ["--ps: 'two' is not a whole number from 1 to 256"]),
    "no role": (
        ["worker"], {}, 64,
        ["role not given. Set --job_name", "TF_CONFIG", "paramd launch --ps 2 --workers 2"]),
    "no cluster for a tool": (
        ["vars"], {}, 64, ["cluster not given, and none was launched from this directory",
                           "--ps_hosts=HOST:PORT", "paramd launch"]),
    "bad TF_CONFIG of a ps": (
        ["ps"], {"TF_CONFIG": '{"cluster": '}, 64, ["TF_CONFIG: line 1, column 12"]),
    "bad TF_CONFIG of a worker": (
        ["worker"], {"TF_CONFIG": '{"cluster": {"ps": "h:1"}}'}, 64, ["TF_CONFIG", "'cluster.ps'"]),
    "ps that should be a worker": (
        ["ps"], {"TF_CONFIG": '{"cluster": {"ps": ["h:1"], "worker": ["i:1"]},'
                              ' "task": {"type": "worker", "index": 0}}'}, 64,
        ["this command runs a ps task", "/job:worker/task:0", "--job_name=ps", "paramd worker"]),
    "task index out of range": (
        ["ps", "--ps_hosts=127.0.0.1:{p},127.0.0.1:1", "--task_index=5"], {}, 64,
        ["No task with index 5 in job 'ps'; it has 2, numbered from 0 to 1"]),
    "duplicate address": (
        ["ps", "--ps_hosts=h:1,h:1", "--task_index=0"], {}, 64,
        ["/job:ps/task:0 and /job:ps/task:1 have the same address h:1"]),
    "bad port": (
        ["ps", "--ps_hosts=127.0.0.1:99999"], {}, 64,
        ["address '127.0.0.1:99999' has a bad port", "1 to 65535"]),
    "missing task index": (
        ["ps", "--ps_hosts=h:1,i:1"], {}, 64, ["job 'ps' has 2 tasks", "Set --task_index"]),
    "missing cluster file": (
        ["ps", "--cluster=/no/such/file"], {}, 64, ["--cluster", "/no/such/file"]),
    "bad layers": (
        ["worker", "--layers=784--10", "--ps_hosts=127.0.0.1:{p}"], {}, 64,
        ["layers '784--10': '' is no layer size", "784-200-10"]),
    "missing data set": (
        ["worker", "--data={d}/nowhere", "--ps_hosts=127.0.0.1:{p}"], {}, 66,
        ["{d}/nowhere", "neither fashion-mnist nor synthetic nor a directory", "--data synthetic"]),
    "unreachable ps": (
        ["worker", "--ps_hosts=127.0.0.1:{p}", "--worker_count=1", "--start_timeout=1",
         "--data=synthetic"], {}, 201,
        ["gave up after 1 s", "/job:ps/task:0 at 127.0.0.1:{p}", "connection refused",
         "Try: paramd health 127.0.0.1:{p}"]),
    "unreachable ps of a tool": (
        ["status", "--ps_hosts=127.0.0.1:{p}"], {}, 200,
        ["/job:ps/task:0", "127.0.0.1:{p}", "connection refused"]),
    "host that has no address": (
        ["worker", "--ps_hosts=no-such-host.invalid:1", "--worker_count=1", "--start_timeout=1",
         "--data=synthetic"], {}, 201, ["no-such-host.invalid:1"]),
    "set without consent": (
        ["set", "w", "--value=1", "--ps_hosts=127.0.0.1:{p}"], {}, 64, ["'w'", "--yes"]),
    "set without a value": (
        ["set", "w"], {}, 64, ["give a FILE.npy, or --value=X"]),
}

# What a worker does in a running cluster, the exit code of the launch, and its message.
IN_A_JOB = {
    "unknown device": (
        ["device", "/job:ps/task:9", "var", "w", "float", "2", "0"], 65,
        ["variable 'w'", "/job:ps/task:9 is not in the cluster"]),
    "device that is none": (
        ["device", "/jub:ps", "var", "w", "float", "2", "0"], 65, ["'jub:ps' in '/jub:ps'", "/job:NAME"]),
    "shape conflict": (
        ["var", "w", "float", "2,3", "0.5", "var", "w", "float", "3,2", "0.5"], 65,
        ["variable 'w' is float[2,3] constant(0.5) on /job:ps/task:0 (defined by worker 0)",
         "asks for float[3,2]", "Same program on all workers?"]),
    "dtype conflict": (
        ["var", "w", "float", "2,3", "0.5", "var", "w", "double", "2,3", "0.5"], 65,
        ["variable 'w' is float[2,3]", "asks for double[2,3]"]),
    "NaN gradient": (
        ["var", "w", "float", "2", "0", "init", "push", "w", "nan"], 65,
        ["push 1 of worker 0", "gradient of 'w' has NaN at element 0", "Nothing of this push was applied"]),
    "no value yet": (
        ["var", "w", "float", "2", "0", "print", "w"], 65, ["Attempting to use uninitialized value w"]),
}


class Messages(ProcessTest):
    def check(self, process, code, parts):
        self.assertEqual(process.code, code, process.describe())
        for part in parts:
            self.assertIn(part, process.text())
        for leak in ("assert", "grpc_", ".cc:", "Segmentation", "AddressSanitizer"):
            self.assertNotIn(leak, process.text())

    def test_before_there_is_a_cluster(self):
        for name, (words, env, code, parts) in PLAIN.items():
            with self.subTest(name):
                fill = {"p": self.port().number, "d": self.directory}
                put = lambda text: text.replace("{p}", str(fill["p"])).replace("{d}", fill["d"])
                process = self.run_to_end(PARAMD, *map(put, words), **env)
                self.check(process, code, map(put, parts))

    def test_in_a_job(self):
        for name, (words, code, parts) in IN_A_JOB.items():
            with self.subTest(name):
                process = self.run_to_end(PARAMD, "launch", "--", TINY_WORKER, *words)
                self.check(process, code, parts)

    def test_truncated_data_set(self):
        images = gzip.compress(struct.pack(">IIII", 0x803, 100, 28, 28) + bytes(100 * 784))
        labels = gzip.compress(struct.pack(">II", 0x801, 100) + bytes(100))
        for prefix in ("train", "t10k"):
            for kind, data in (("images-idx3", images), ("labels-idx1", labels)):
                with open(self.path(f"{prefix}-{kind}-ubyte.gz"), "wb") as file:
                    file.write(data)
        whole = self.path("train-images-idx3-ubyte.gz")
        with open(whole, "r+b") as file:
            file.truncate(len(images) // 2)
        process = self.run_to_end(PARAMD, "worker", f"--data={self.directory}",
                                  f"--ps_hosts={self.port().address}")
        self.check(process, 65, [whole])
        self.assertRegex(process.text(), "truncated|damaged|ends|short")

    def test_help_begins_with_examples_and_ends_with_exit_codes(self):
        for command in ("launch", "ps", "status", "vars", "get", "set", "health"):
            with self.subTest(command):
                process = self.run_to_end(PARAMD, command, "--help")
                self.assertEqual(process.code, 0)
                first = process.stdout.split("\n")[0:3]
                self.assertTrue(any("Examples:" in line for line in first), process.stdout)
                self.assertIn("Exit code", process.stdout)
                self.assertTrue(all(len(line) < 100 for line in process.stdout.split("\n")))
        process = self.run_to_end(PARAMD, "--help")
        self.assertTrue(process.stdout.startswith("Examples:"))
        for code in (64, 65, 66, 68, 70, 76, 200, 201, 202, 203):
            self.assertRegex(process.stdout, rf"(?m)^ +{code} ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
