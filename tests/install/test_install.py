"""The installed tree: what is where, what the library exports, and that programs outside build with it."""
# SPDX-License-Identifier: Apache-2.0
import os
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["PARAMD_BUILD"]
CMAKE = os.environ.get("CMAKE", "cmake")
CC = os.environ.get("CC", "cc")
HERE = os.path.dirname(os.path.abspath(__file__))
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror"]


def run(*argv, code=0, **more):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, **more)
    if done.returncode != code:
        raise AssertionError(f"$ {' '.join(argv)}\nexit code {done.returncode}, not {code}\n"
                             f"{done.stdout}{done.stderr}")
    return done


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="paramd-test-install-")
        # Installed in one place and moved to another: nothing in it may depend on where it is.
        run(CMAKE, "--install", BUILD, "--prefix", os.path.join(cls.directory, "first"))
        cls.prefix = os.path.join(cls.directory, "moved")
        os.rename(os.path.join(cls.directory, "first"), cls.prefix)
        cls.libdir = os.path.dirname(cls.find("libparamd.so"))
        cls.env = dict(os.environ, LD_LIBRARY_PATH=cls.libdir,
                       PKG_CONFIG_PATH=os.path.join(cls.libdir, "pkgconfig"))
        cls.env = {k: v for k, v in cls.env.items() if not k.startswith("PS_") and k != "TF_CONFIG"}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory, ignore_errors=True)

    @classmethod
    def find(cls, name):
        for folder, _, files in os.walk(cls.prefix):
            if name in files:
                return os.path.join(folder, name)
        raise AssertionError(f"{name} was not installed")

    def path(self, name):
        return os.path.join(self.directory, name)

    def check_program(self, program):
        out = run(program, "--version", env=self.env).stdout.split()
        self.assertRegex(out[0], r"^\d+\.\d+\.\d+$")
        self.assertEqual(out[1:], ["NOT_FOUND", "2"])
        message = run(program, "127.0.0.1:1", env=self.env, code=201).stderr
        self.assertIn("/job:ps/task:0 at 127.0.0.1:1", message)

    def test_what_is_where(self):
        have = sorted(os.path.relpath(os.path.join(folder, name), self.prefix)
                      for folder, _, files in os.walk(self.prefix) for name in files)
        lib = os.path.relpath(self.libdir, self.prefix)
        version = run(os.path.join(self.prefix, "bin/paramd"), "version", env=self.env).stdout.split()[1]
        self.assertEqual(have, sorted([
            "bin/paramd",
            "include/paramd/paramd.h", "include/paramd/core/dtype.h", "include/paramd/core/status.h",
            "include/paramd/core/tensor.h",
            f"{lib}/libparamd.so", f"{lib}/libparamd.so.0", f"{lib}/libparamd.so.{version}",
            f"{lib}/pkgconfig/paramd.pc",
            f"{lib}/cmake/paramd/paramdConfig.cmake", f"{lib}/cmake/paramd/paramdConfigVersion.cmake",
            f"{lib}/cmake/paramd/paramdTargets.cmake",
            next(name for name in have if re.search(r"paramdTargets-\w+\.cmake$", name)),
        ]))
        dynamic = run("readelf", "-d", os.path.join(self.libdir, "libparamd.so")).stdout
        self.assertIn("Library soname: [libparamd.so.0]", dynamic)
        self.assertNotRegex(dynamic, r"RUNPATH|RPATH")

    def test_exported_functions_are_those_of_the_headers(self):
        exported = set()
        for line in run("nm", "-D", "--defined-only", os.path.join(self.libdir, "libparamd.so")).stdout.splitlines():
            name = line.split()[-1]
            if name != "PARAMD_0":
                self.assertRegex(name, r"^ps_\w+@@PARAMD_0$")
                exported.add(name.partition("@")[0])
        with open(self.find("paramd.h")) as file:
            api = set(re.findall(r"PS_API[^;(]*?\b(ps_\w+)\(", file.read()))
        self.assertGreater(len(api), 50)
        self.assertEqual(api - exported, set(), "declared in paramd.h, but not exported")
        core = set()
        for name in ("status.h", "dtype.h", "tensor.h"):
            with open(self.find(name)) as file:
                core |= set(re.findall(r"\b(ps_\w+)\(", re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)))
        self.assertEqual(exported - api - core, set(), "exported, but declared in no header")
        for needed in ("ps_code_name", "ps_code_text", "ps_dtype_name", "ps_shape_format"):
            self.assertIn(needed, exported)

    def test_by_pkg_config(self):
        flags = run("pkg-config", "--cflags", "--libs", "paramd", env=self.env).stdout.split()
        program = self.path("by-pkg-config")
        run(CC, *STRICT, os.path.join(HERE, "outside/main.c"), "-o", program, *flags, env=self.env)
        self.check_program(program)

    def test_by_cmake(self):
        build = self.path("by-cmake")
        run(CMAKE, "-S", os.path.join(HERE, "outside"), "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}",
            f"-DCMAKE_C_COMPILER={CC}", env=self.env)
        run(CMAKE, "--build", build, env=self.env)
        self.check_program(os.path.join(build, "outside"))

    def test_header_is_fit_for_cplusplus(self):
        source = self.path("header.cc")
        with open(source, "w") as file:
            file.write("#include <paramd.h>\nint main() { return ps_version() == nullptr; }\n")
        flags = run("pkg-config", "--cflags", "--libs", "paramd", env=self.env).stdout.split()
        program = self.path("from-cplusplus")
        run("c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags, env=self.env)
        run(program, env=self.env)

    def test_readme_example(self):
        """The README's own worker program, as it stands there."""
        with open(os.path.join(HERE, "../../README.md")) as file:
            source = re.search(r"```c\n(.*?)```", file.read(), re.S).group(1)
        with open(self.path("example.c"), "w") as file:
            file.write(source)
        self.assertLessEqual(len(source.splitlines()), 50)
        flags = run("pkg-config", "--cflags", "--libs", "paramd", env=self.env).stdout.split()
        run(CC, *STRICT, self.path("example.c"), "-o", self.path("example"), *flags, env=self.env)
        for workers in (1, 2):
            launch = run(os.path.join(self.prefix, "bin/paramd"), "launch", "--ps=2", f"--workers={workers}",
                         "--", self.path("example"), env=self.env, cwd=self.directory)
            b = [float(value) for value in re.findall(r"b is ([-\d.]+), should be 3", launch.stdout)]
            self.assertEqual(len(b), workers, launch.stdout)
            for value in b:
                self.assertAlmostEqual(value, 3, delta=0.3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
