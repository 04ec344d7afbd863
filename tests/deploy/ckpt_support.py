"""What the tests of paramd ckpt share: running it, and making checkpoints and arrays."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import numpy as np

PARAMD = os.environ["PARAMD"]
BUNDLE_TOOL = os.environ["BUNDLE_TOOL"]
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def hold_back(what):
    """Ends a test that cannot run here, as a failure where it must."""
    print(f"skipped: {what} not installed", flush=True)
    raise SystemExit(1 if os.environ.get("PS_REQUIRE_TENSORFLOW") == "1" else SKIPPED)


class Result:
    def __init__(self, argv):
        done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=120, check=False)
        self.argv, self.code = argv, done.returncode
        self.out = done.stdout.decode(errors="surrogateescape")
        self.err = done.stderr.decode(errors="surrogateescape")

    def __str__(self):
        words = " ".join(str(word) for word in self.argv)
        return f"$ {words}\nexit code {self.code}\n{self.out}{self.err}"


class CkptTest(unittest.TestCase):
    """A directory of its own, and the tool."""

    maxDiff = None

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="paramd-test-ckpt-")

    def tearDown(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def ckpt(self, *words, code=0):
        """Runs paramd ckpt, which must exit so; its output."""
        result = Result([PARAMD, "ckpt", *words])
        self.assertEqual(result.code, code, result)
        return result

    def ckpt_json(self, *words):
        return json.loads(self.ckpt(*words, "--json").out)

    def describe_checkpoint(self, name, *lines):
        """A checkpoint from a description as tests/checkpoint/bundle_tool.c has it; its prefix."""
        prefix = self.path(name)
        os.makedirs(os.path.dirname(prefix), exist_ok=True)
        subprocess.run([BUNDLE_TOOL, "write", prefix], input="\n".join(lines).encode(), check=True)
        return prefix

    def import_arrays(self, name, arrays, **options):
        """A checkpoint of NumPy arrays by way of an .npz file; its prefix."""
        archive = self.path("in.npz")
        np.savez(archive, **arrays)
        prefix = self.path(name)
        self.ckpt("import", archive, prefix, *[f"--{key}" for key in options])
        return prefix

    def assert_same_bits(self, found, expected, name=""):
        self.assertEqual(found.dtype, expected.dtype, name)
        self.assertEqual(found.shape, expected.shape, name)
        self.assertEqual(found.tobytes(), expected.tobytes(), name)

    def files(self, prefix):
        """The checkpoint's files: {what follows the prefix: bytes}."""
        directory, base = os.path.split(prefix)
        found = {}
        for name in os.listdir(directory):
            if name.startswith(base + "."):
                with open(os.path.join(directory, name), "rb") as file:
                    found[name[len(base):]] = file.read()
        return found


def every_dtype():
    """Arrays of all types that NumPy has and variables can have, and of shapes that are special."""
    random = np.random.default_rng(1)
    arrays = {}
    for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        raw = random.integers(0, 256, 24 * np.dtype(code).itemsize, dtype=np.uint8)
        arrays[f"types/{code}"] = np.frombuffer(raw.tobytes(), code).reshape(2, 3, 4)
    arrays["types/bool"] = random.integers(0, 2, (5, 3)).astype(bool)
    arrays["scalar"] = np.array(1.5, "f4")
    arrays["global_step"] = np.array(7, "i8")
    arrays["empty"] = np.zeros((0, 4), "f4")
    arrays["rank8"] = np.arange(16, dtype="i2").reshape(1, 2, 1, 2, 1, 2, 1, 2)
    arrays["Gewicht/\u00fc/\u6743 \u00d7"] = np.arange(3, dtype="f8")
    return arrays
