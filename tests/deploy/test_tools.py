"""Looking at a running cluster, and changing it: status, vars, get, set, health, version."""
# SPDX-License-Identifier: Apache-2.0
import json
import re
import unittest

import numpy

from harness import PARAMD, TINY_WORKER, ProcessTest

# 'cut' has a slice on each ps task; /job:ps/task:1 holds most, so that there is something to hint at.
JOB = ("split", "2", "var", "cut", "double", "5,2", "2.5", "split", "1",
       "device", "/job:ps/task:1", "var", "big", "float", "64,8", "1.5",
       "var", "huge", "float", "3000,250", "0",
       "device", "/job:ps/task:0", "var", "count", "int64", "[]", "7",
       "var", "narrow", "bfloat16", "3", "0.25",
       "var", "flags", "bool", "2", "1",
       "init", "var", "later", "float", "2,2", "1")


class Tools(ProcessTest):
    def setUp(self):
        super().setUp()
        self.launch = self.start(PARAMD, "launch", "--ps=2", "--workers=1", "--", TINY_WORKER, *JOB,
                                 "push", "big", "0.5", "touch", "ready", "await", "go", "print", "big")
        self.await_file("ready")

    def end(self):
        self.touch("go")
        self.assert_exit(self.launch, 0)

    def tool(self, *words, code=0):
        process = self.run_to_end(PARAMD, *words)
        self.assertEqual(process.code, code, process.describe())
        return process

    def get(self, name, *words):
        return json.loads(self.tool("get", name, "--json", *words).stdout)["value"]

    def test_status(self):
        table = self.tool("status")
        self.assertIn("cluster: 2 ps (from file run/latest/cluster.json)", table.text())
        self.assertRegex(table.stdout, r"(?m)^TASK +ADDRESS +STATE")
        self.assertRegex(table.stdout, r"(?m)^ps/1 +127\.0\.0\.1:\d+ +serving")
        self.assertRegex(table.stdout, r"(?m)^worker/0 +active")
        status = json.loads(self.tool("status", "--json").stdout)
        self.assertEqual([task["alive"] for task in status["ps"]], [True, True])
        # A training push touches every ps task, so that all of them count steps alike.
        self.assertEqual([(task["step"], task["pushes"]) for task in status["ps"]], [(1, 1), (1, 1)])
        self.assertEqual(status["workers"][0]["pushes"], 1)
        self.end()

    def test_status_of_the_dead(self):
        with open(self.path("run/latest/cluster.json")) as file:
            hosts = json.load(file)["ps"]
        dead = self.port().address
        process = self.tool("status", f"--ps_hosts={hosts[0]},{hosts[1]},{dead}", code=200)
        self.assertRegex(process.stdout, rf"(?m)^ps/2 +{dead} +DEAD$")
        self.assertRegex(process.stdout, r"(?m)^ps/0 .* serving")
        self.assertRegex(process.text(), rf"/job:ps/task:2: .*{dead}.*connection refused")
        status = json.loads(self.tool("status", "--json", f"--ps_hosts={hosts[0]},{hosts[1]},{dead}",
                                      code=200).stdout)
        self.assertEqual([task["alive"] for task in status["ps"]], [True, True, False])
        self.assertIn("connection refused", status["ps"][2]["reason"])
        self.end()
        process = self.tool("status", code=200)
        self.assertIn("that job has ended; see run/latest/summary.json", process.text())

    def test_vars(self):
        text = self.tool("vars").stdout
        self.assertRegex(text, r"(?m)^VARIABLE +SHAPE +DTYPE +DEVICE +BYTES +INIT$")
        self.assertRegex(text, r"(?m)^big +64x8 +float +/job:ps/task:1 +2\.0 kB +constant\(1\.5\)$")
        self.assertRegex(text, r"(?m)^count +scalar +int64 +/job:ps/task:0 +8 B +constant\(7\)$")
        self.assertRegex(text, r"(?m)^cut +5x2 +double +2 slices +80 B +constant\(2\.5\)$")
        self.assertRegex(text, r"(?m)^  rows 0 to 2 +3x2 +/job:ps/task:\d +48 B$")
        self.assertRegex(text, r"(?m)^  rows 3 to 4 +2x2 +/job:ps/task:\d +32 B$")
        self.assertRegex(text, r"(?m)^later .*\(no value yet\)$")
        self.assertRegex(text, r"(?m)^ps/0 \d+ %  ps/1 \d+ % of 3\.0 MB$")
        self.assertRegex(text, r"hint: ps/1 holds 2\.0 times the mean; splitting 'huge' \(3\.0 MB\)")
        variables = {v["name"]: v for v in json.loads(self.tool("vars", "--json").stdout)["variables"]}
        self.assertEqual(set(variables), {"big", "huge", "count", "narrow", "flags", "later", "cut"})
        self.assertEqual(variables["big"]["shape"], [64, 8])
        self.assertEqual(variables["big"]["updates"], 1)
        self.assertEqual([(s["row_start"], s["row_count"]) for s in variables["cut"]["slices"]],
                         [(0, 3), (3, 2)])
        self.assertEqual({s["task"] for s in variables["cut"]["slices"]}, {0, 1})
        self.assertFalse(variables["later"]["initialized"])
        order = re.findall(r"(?m)^(\w+) ", self.tool("vars", "--sort=bytes").stdout)
        self.assertEqual(order[:3], ["VARIABLE", "huge", "big"])
        self.end()

    def test_get(self):
        self.assertEqual(self.get("count"), 7)
        self.assertEqual(self.get("flags"), [True, True])
        self.assertEqual(self.get("narrow"), [0.25] * 3)
        self.assertEqual(self.get("big", "--slice=-2:"), [[1.0] * 8] * 2)
        self.assertEqual(self.get("big", "--slice=5:5"), [])
        self.assertEqual(self.tool("get", "narrow").stdout, "[0.25 0.25 0.25]\n")
        self.tool("get", "big", "--out=big.npy")
        big = numpy.load(self.path("big.npy"))
        self.assertEqual((big.shape, big.dtype), ((64, 8), numpy.float32))
        self.assertTrue((big == 1).all())
        self.assertIn("uninitialized value later", self.tool("get", "later", code=65).text())
        self.assertIn("no variable 'bgi'; did you mean 'big'?", self.tool("get", "bgi", code=66).text())
        self.assertIn("no variable 'elephant' among 7", self.tool("get", "elephant", code=66).text())
        self.assertIn("a scalar and has no rows", self.tool("get", "count", "--slice=0:1", code=65).text())
        self.assertIn("'x' is no slice", self.tool("get", "big", "--slice=x", code=65).text())
        self.end()

    def test_set(self):
        self.tool("set", "count", "--value=42", "--yes")
        self.assertEqual(self.get("count"), 42)
        values = numpy.arange(10, dtype=numpy.float64).reshape(5, 2)
        numpy.save(self.path("cut.npy"), values)
        self.tool("set", "cut", "cut.npy", "--yes")  # on two ps tasks
        self.assertEqual(self.get("cut"), values.tolist())
        self.assertEqual(self.get("cut", "--slice=2:4"), values[2:4].tolist())
        numpy.save(self.path("narrow.npy"), numpy.array([1, 2.5, -3], dtype=numpy.float32))
        self.tool("set", "narrow", "narrow.npy", "--yes")
        self.assertEqual(self.get("narrow"), [1, 2.5, -3])
        self.tool("set", "big", "--value=9.5", "--yes")
        text = self.tool("set", "big", "cut.npy", "--yes", code=65).text()
        self.assertIn("variable 'big' is float[64,8], but the value is double[5,2]", text)
        self.assertIn("cannot read 'none.npy'", self.tool("set", "big", "none.npy", "--yes", code=66).text())
        self.end()
        self.assertRegex(self.launch.stdout, r"worker/0 +\| big 9\.5")

    def test_set_and_get_of_several_frames(self):
        values = numpy.random.default_rng(1).random((3000, 250), dtype=numpy.float32)
        numpy.save(self.path("huge.npy"), values)
        self.tool("set", "huge", "huge.npy", "--yes")
        self.tool("get", "huge", "--out=again.npy")
        self.assertTrue((numpy.load(self.path("again.npy")) == values).all())
        self.assertEqual(self.get("huge", "--slice=1999:2001"), values[1999:2001].astype(float).tolist())
        self.end()

    def test_health(self):
        with open(self.path("run/latest/cluster.json")) as file:
            hosts = json.load(file)["ps"]
        self.assertEqual(self.tool("health", *hosts).stdout, "".join(f"{h} SERVING\n" for h in hosts))
        self.assertEqual(len(json.loads(self.tool("health", "--json").stdout)), 2)
        self.assertEqual(self.tool("health", "--service=paramd.ready", hosts[0]).code, 0)
        self.assertIn("UNREACHABLE", self.tool("health", self.port().address, code=200).stdout)
        self.end()


class WithoutCluster(ProcessTest):
    def test_version(self):
        self.assertRegex(self.run_to_end(PARAMD, "version").stdout, r"^paramd \d+\.\d+\.\d+ \(protocol \d+\)\n$")
        self.assertEqual(self.run_to_end(PARAMD, "--version").stdout, self.run_to_end(PARAMD, "version").stdout)
        version = json.loads(self.run_to_end(PARAMD, "version", "--json").stdout)
        self.assertEqual(set(version), {"version", "protocol"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
