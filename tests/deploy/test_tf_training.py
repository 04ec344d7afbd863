"""Clusters against TensorFlow itself: what either side saved, the other restores, and trains on.

Values, slots and counters are compared bit by bit; training that went on elsewhere, to rounding.
"""
# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import unittest

from ckpt_support import CkptTest, hold_back

try:
    import ml_dtypes
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.tools import inspect_checkpoint
except ImportError:
    hold_back("TensorFlow")

from harness import PARAMD, ProcessTest
from test_tf_files import with_bfloat16

tf1 = tf.compat.v1
tf1.logging.set_verbosity(tf1.logging.ERROR)
TF_WORKER = os.environ["TF_WORKER"]
CLUSTERS = (1, 2, 5)  # ps tasks
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
OURS = "_paramd/"  # names of what TensorFlow does not know
# Of these types TensorFlow saves partitioned variables, but neither reads nor restores them, its own
# or ours: "Dtype half not supported". It does read each slice by its key in the index.
UNJOINED = (tf.half, tf.uint16, tf.uint32, tf.uint64)


def random_bits(random, shape, dtype):
    """An array of any bits at all, NaNs among them; of 0 and 1 for bool."""
    dtype = np.dtype(dtype)
    if dtype == bool:
        return random.integers(0, 2, shape).astype(bool)
    size = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(random.bytes(size), dtype).reshape(shape)


def is_partitioned(name):
    return name.startswith("parts/")


def all_sorts():
    """{name: array}: every dtype, whole and to be partitioned; scalars, empty ones, names of all kinds."""
    random = np.random.default_rng(3)
    arrays = with_bfloat16()
    del arrays["global_step"]  # here it is the cluster's own
    arrays["deeply/nested/name.with-signs_1"] = np.float32([1, 2])
    arrays["empty/double"] = np.zeros((2, 0, 3), "f8")
    for code in ("f2", "f4", "f8", BFLOAT16, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"):
        arrays[f"parts/{np.dtype(code).name}"] = random_bits(random, (7, 2), code)
    return arrays


# What is trained, by optimizer. Momentum's and Adam's numbers are such that their slots are exact
# in any order of computing, for gradients that are small integers.
MOMENTUM = {"momentum/w": ((4, 3), "f4"), "parts/momentum": ((7, 5), "f4"), "momentum/scale": ((), "f8")}
ADAM = {"adam/w": ((4, 3), "f4"), "parts/adam": ((7, 5), "f4"), "parts/adam64": ((6,), "f8"),
        "adam/scale": ((), "f4")}
PUSHES = 2  # of each of them


def gradient(name, push, shape, dtype):
    random = np.random.default_rng([push, *name.encode()])
    return random.integers(-8, 9, shape).astype(dtype)


def expected_slots():
    """What the slots and counters are after PUSHES of those gradients."""
    slots = {}
    for name, form in MOMENTUM.items():
        accumulator = np.zeros(*form)
        for push in range(PUSHES):
            accumulator = accumulator / 2 + gradient(name, push, *form)
        slots[name + "/Momentum"] = np.asarray(accumulator, form[1])
    for name, form in ADAM.items():
        first, second = np.zeros(*form), np.zeros(*form)
        for push in range(PUSHES):
            g = gradient(name, push, *form)
            first, second = first / 2 + g / 2, second * 3 / 4 + g * g / 4
        slots[name + "/Adam"] = np.asarray(first, form[1])
        slots[name + "/Adam_1"] = np.asarray(second, form[1])
    pushes = PUSHES * len(ADAM)
    slots["beta1_power"] = np.float32(0.5 ** (pushes + 1))
    slots["beta2_power"] = np.float32(0.75 ** (pushes + 1))
    slots["global_step"] = np.int64(pushes + PUSHES * len(MOMENTUM))
    return {name: np.asarray(value) for name, value in slots.items()}


class Graph:
    """TensorFlow's side: a graph with variables like these arrays."""

    def __init__(self, arrays, parts, resource=True, device_count=1):
        """arrays: {name: initial value}; those named parts/ are cut into so many."""
        self.graph, self.odd, self.variables = tf.Graph(), {}, {}
        self.config = tf1.ConfigProto(device_count={"CPU": device_count})
        with self.graph.as_default():
            self.step = tf1.train.get_or_create_global_step()
            for i, (name, value) in enumerate(arrays.items()):
                with tf1.device(f"/cpu:{i % device_count}"):
                    self.variables[name] = self.make(name, value, parts, resource)

    def make(self, name, value, parts, resource):
        def initial(shape, dtype, partition_info=None):
            if partition_info is None:
                return tf.constant(value, dtype)
            box = tuple(slice(at, at + n) for at, n in zip(partition_info.var_offset, shape))
            return tf.constant(value[box], dtype)

        usable = name.isascii()
        variable = tf1.get_variable(
            name if usable else f"odd_{len(self.odd)}", value.shape, value.dtype, initial, use_resource=resource,
            partitioner=tf1.fixed_size_partitioner(parts) if is_partitioned(name) else None)
        if not usable:  # such a name is none for an op, but it is one in a checkpoint
            self.odd[name] = variable
        return variable

    def parts(self, name):
        """(part, where it begins, where it ends) of a variable, by rows."""
        variable = self.variables[name]
        if not is_partitioned(name):
            return [(variable, None, None)]
        found = []
        for part in variable:
            start = part._get_save_slice_info().var_offset[0]
            found.append((part, start, start + part.shape[0]))
        return found

    def apply(self, optimizer, gradients):
        """An op that applies {name: function that makes the gradient of a part}."""
        with self.graph.as_default():
            pairs = [(gradients[name](*part), part[0]) for name in gradients for part in self.parts(name)]
            return optimizer.apply_gradients(pairs, self.step)

    def add_slots(self, momentum, adam):
        """Optimizers that never run, but have their slots and powers."""
        def zeros(part, *_):
            return tf.zeros(part.shape, part.dtype)

        self.apply(tf1.train.MomentumOptimizer(0.125, 0.5), dict.fromkeys(momentum, zeros))
        self.apply(tf1.train.AdamOptimizer(0.125, 0.5, 0.75), dict.fromkeys(adam, zeros))

    @contextlib.contextmanager
    def session(self):
        with self.graph.as_default(), tf1.Session(config=self.config) as session:
            session.run(tf1.global_variables_initializer())
            yield session

    def saver(self, **options):
        odd = {id(variable) for variable in self.odd.values()}
        variables = {}
        for variable in tf1.global_variables():
            if id(variable) in odd:
                continue
            info = variable._get_save_slice_info() if hasattr(variable, "_get_save_slice_info") else None
            if info is not None:
                variables.setdefault(info.full_name, []).append(variable)
            else:
                variables[variable.op.name] = variable
        return tf1.train.Saver({**variables, **self.odd}, **options)


def is_unjoined(name, array):
    return is_partitioned(name) and tf.as_dtype(array.dtype) in UNJOINED


class TfTest(ProcessTest, CkptTest):
    """Launches of tf_worker beside TensorFlow."""

    def write(self, array):
        """The bytes of an array in a file of its own."""
        self.written = getattr(self, "written", 0) + 1
        path = self.path(f"in-{self.written}")
        with open(path, "wb") as file:
            file.write(np.ascontiguousarray(array).tobytes())
        return path

    def define(self, arrays, slices):
        """Words that define variables like these arrays; those named parts/ in so many slices."""
        words = []
        for cut in (False, True):
            words += ["split", slices] if cut else []
            for name, value in arrays.items():
                if is_partitioned(name) == cut:
                    words += ["var", name, value.dtype.name, "[%s]" % ",".join(map(str, value.shape))]
        return words

    def load(self, arrays):
        return [word for name, value in arrays.items() for word in ("load", name, self.write(value))]

    def dump(self, arrays):
        return [word for i, name in enumerate(arrays) for word in ("dump", name, self.path(f"out-{i}"))]

    def dumped(self, arrays):
        """What dump() of these arrays left: {name: array}."""
        return {name: np.fromfile(self.path(f"out-{i}"), value.dtype).reshape(value.shape)
                for i, (name, value) in enumerate(arrays.items())}

    def launch(self, ps_count, *words):
        """A cluster in which one worker does what the words say."""
        launch = self.start(PARAMD, "launch", f"--ps={ps_count}", "--workers=1", "--", TF_WORKER, *words)
        self.assert_exit(launch, 0, timeout=120)
        return launch

    def read(self, prefix):
        """{name: array} as TensorFlow reads it, without what is ours alone."""
        reader = tf.train.load_checkpoint(prefix)
        found = {}
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if is_partitioned(name) and dtype in UNJOINED:
                found[name] = self.read_by_slices(prefix, name, dtype, reader)
            elif not name.startswith(OURS):
                found[name] = np.asarray(reader.get_tensor(name))
        return found

    def read_by_slices(self, prefix, name, dtype, reader):
        """A variable cut by rows, from its slices, whose keys are in order."""
        key = rb"(?m)^(\x00" + re.escape(name.encode()) + rb"\x00\x01.+) \(DT_\w+\) \[[\d,]+\]$"
        keys = re.findall(key, reader.debug_string())
        self.assertGreater(len(keys), 1, name)
        slices = tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=keys, shape_and_slices=[""] * len(keys),
                                      dtypes=[dtype] * len(keys))
        return np.concatenate([part.numpy() for part in slices])

    def assert_same(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected))
        for name, value in expected.items():
            self.assert_same_bits(found[name], value, name)


class TensorFlowReadsClusters(TfTest):
    def save_all_sorts(self, ps_count):
        """A checkpoint of a cluster and what must be in it: (prefix, {name: array})."""
        arrays = all_sorts()
        trained = {name: np.random.default_rng(4).standard_normal(form[0]).astype(form[1])
                   for name, form in {**MOMENTUM, **ADAM}.items()}
        everything = {**arrays, **trained}
        words = [*self.define(everything, slices=3), "init", *self.load(everything)]
        for forms, optimizer in ((MOMENTUM, ("momentum", 0.125, 0.5)), (ADAM, ("adam", 0.125, 0.5, 0.75, 1e-8))):
            words += optimizer
            for name, form in forms.items():
                for push in range(PUSHES):
                    words += ["push", name, self.write(gradient(name, push, *form))]
        prefix = self.path(f"saved-by-{ps_count}/model.ckpt")
        self.launch(ps_count, *words, *self.dump(everything), "save", prefix, 16)
        pulled = self.dumped(everything)
        self.assert_same({name: pulled[name] for name in arrays}, arrays)
        for name in trained:
            self.assertFalse(np.array_equal(pulled[name], trained[name]), name)
        return prefix + "-16", {**pulled, **expected_slots()}

    def check_reader(self, prefix, expected):
        self.assert_same(self.read(prefix), expected)
        reader = tf.train.load_checkpoint(prefix)
        types = reader.get_variable_to_dtype_map()
        for name, value in expected.items():
            self.assertEqual(types[name].as_numpy_dtype, value.dtype.type, name)

    def check_saver(self, prefix, expected):
        """Its Saver restores everything, in other parts than ours; what it then saves is the same."""
        expected = {name: value for name, value in expected.items() if not is_unjoined(name, value)}
        blank = {name: np.zeros(value.shape, value.dtype) for name, value in expected.items()
                 if name not in expected_slots()}
        graph = Graph(blank, parts=2)
        graph.add_slots(MOMENTUM, ADAM)
        with graph.session() as session:
            saver = graph.saver()
            saver.restore(session, prefix)
            again = saver.save(session, self.path("again"), write_meta_graph=False)
        self.assert_same(self.read(again), expected)

    def check_inspect(self, prefix, expected):
        names = self.inspect(prefix, tensor_name="", all_tensors=False, all_tensor_names=True)
        for name, value in expected.items():
            heading = f"tensor: {name} ({tf.as_dtype(value.dtype).name}) {list(value.shape)}\n"
            self.assertIn(heading, names)
            if not is_unjoined(name, value):
                printed = self.inspect(prefix, tensor_name=name, all_tensors=False)
                self.assertTrue(printed.startswith(f"{heading}{value!s}\n# Total"), printed)

    def inspect(self, *arguments, **options):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            inspect_checkpoint.print_tensors_in_checkpoint_file(*arguments, **options)
        return out.getvalue()

    def test_all_sorts(self):
        for ps_count in CLUSTERS:
            with self.subTest(ps=ps_count):
                prefix, expected = self.save_all_sorts(ps_count)
                self.ckpt("verify", prefix)
                self.assertEqual(len(self.files(prefix)), 1 + ps_count)
                self.assertEqual(tf.train.latest_checkpoint(os.path.dirname(prefix)), prefix)
                self.check_reader(prefix, expected)
                self.check_saver(prefix, expected)
                self.check_inspect(prefix, expected)

    def test_inspect_as_a_program(self):
        value = np.float32([[1.5, -2], [0, 3]])
        self.launch(2, *self.define({"parts/w": value}, slices=2), "init", *self.load({"parts/w": value}),
                    "save", self.path("m"), -1)
        printed = subprocess.run(
            [sys.executable, "-m", "tensorflow.python.tools.inspect_checkpoint",
             f"--file_name={self.path('m')}", "--all_tensors"],
            check=True, capture_output=True, timeout=120).stdout.decode()
        self.assertIn(f"\ntensor: global_step (int64) []\n0\ntensor: parts/w (float32) [2, 2]\n{value}\n", printed)

    def test_the_command_saves_what_the_worker_pulls(self):
        value = np.arange(35, dtype="f4").reshape(7, 5)
        launch = self.start(PARAMD, "launch", "--ps=2", "--workers=1", "--", TF_WORKER,
                            *self.define({"parts/w": value}, slices=3), "init", *self.load({"parts/w": value}),
                            "touch", self.path("ready"), "await", self.path("go"), *self.dump({"parts/w": value}))
        self.await_file("ready")
        with open(self.path("run/latest/cluster.json")) as file:
            hosts = "--ps_hosts=" + ",".join(json.load(file)["ps"])
        with Graph({"parts/w": -value}, parts=2).session() as session:
            theirs = tf1.train.Saver().save(session, self.path("theirs"), write_meta_graph=False)
        ours = self.path("ours")
        self.assertEqual(self.run_to_end(PARAMD, "save", ours, hosts).code, 0)
        restored = self.run_to_end(PARAMD, "restore", theirs, hosts)
        self.assertEqual(restored.code, 0, restored.describe())
        self.touch("go")
        self.assert_exit(launch, 0)
        self.assert_same_bits(self.read(ours)["parts/w"], value)
        self.assert_same_bits(self.dumped({"parts/w": value})["parts/w"], -value)


class ClustersReadTensorFlows(TfTest):
    def save_all_sorts(self, name, sharded, resource):
        """A checkpoint of TensorFlow's, with slots and counters of any bits: (prefix, {name: array})."""
        random = np.random.default_rng(5)
        arrays = all_sorts()
        for key, form in {**MOMENTUM, **ADAM}.items():
            arrays[key] = random_bits(random, *form)
        graph = Graph(arrays, parts=3, resource=resource, device_count=2)
        graph.add_slots(MOMENTUM, ADAM)
        with graph.session() as session:
            for variable in tf1.global_variables():
                if variable.op.name.split("/")[-1] in ("Momentum", "Adam", "Adam_1", "beta1_power", "beta2_power"):
                    variable.load(random_bits(random, variable.shape, variable.dtype.base_dtype.as_numpy_dtype),
                                  session)
            graph.step.load(1234567890123, session)
            prefix = graph.saver(sharded=sharded).save(session, self.path(name), 7, write_meta_graph=False)
        expected = self.read(prefix)
        self.assertEqual(set(expected), set(arrays) | set(expected_slots()))
        self.assert_same({key: expected[key] for key in arrays}, arrays)
        self.assertEqual(len(self.files(prefix)) > 2, sharded)
        return prefix, expected

    def test_all_sorts(self):
        for sharded, resource in ((False, True), (True, False)):
            prefix, expected = self.save_all_sorts(f"theirs-{sharded}", sharded, resource)
            variables = {name: value for name, value in expected.items() if name not in expected_slots()}
            for ps_count in CLUSTERS:
                with self.subTest(sharded=sharded, ps=ps_count):
                    again = self.path(f"again-{sharded}-{ps_count}")
                    launch = self.launch(ps_count, *self.define(variables, slices=4), "restore", prefix,
                                         *self.dump(variables), "step", "save", again, -1)
                    self.assertRegex(launch.stdout, r"(?m)\bstep 1234567890123$")
                    self.assert_same(self.dumped(variables), variables)
                    self.assert_same(self.read(again), expected)  # slots and powers too

    def test_slots_pulled_as_variables(self):
        prefix, expected = self.save_all_sorts("theirs", sharded=True, resource=True)
        slots = {name: expected[name] for name in expected_slots()}
        for ps_count in CLUSTERS:
            with self.subTest(ps=ps_count):
                self.launch(ps_count, *self.define(slots, slices=4), "restore", prefix, *self.dump(slots))
                self.assert_same(self.dumped(slots), slots)


STEPS, HALF = 200, 100
# How far values may be from those of uninterrupted training, by type. Of float both sides may round
# differently in the last place (of values below 2) of some steps; where this was written they never did.
# For double TensorFlow keeps rate, betas and powers as float, so that its 1 - beta2 is 1 - 0.999f,
# 4.7e-5 more than ours in relation: up to half of that in a step, of 100 steps of 0.005.
TOLERANCE = {"float32": 2e-6, "float64": 1.2e-5}


class Training(TfTest):
    """Least squares with given slopes a step: the gradient is slopes[step] * (value - target)."""

    OPTIMIZERS = {
        "Adam": (("adam", 0.005, 0.9, 0.999, 1e-8), lambda: tf1.train.AdamOptimizer(0.005, 0.9, 0.999, 1e-8)),
        "Momentum": (("momentum", 0.001, 0.9), lambda: tf1.train.MomentumOptimizer(0.001, 0.9)),
    }

    def setUp(self):
        super().setUp()
        random = np.random.default_rng(6)
        forms = {"parts/w": ((7, 5), "f4"), "b": ((5,), "f4"), "scale": ((), "f4"), "parts/d": ((6, 2), "f8")}
        self.initial, self.target, self.slopes = {}, {}, {}
        for name, (shape, dtype) in forms.items():
            self.initial[name] = np.asarray(random.uniform(-2, 2, shape), dtype)
            self.target[name] = np.asarray(random.uniform(-2, 2, shape), dtype)
            self.slopes[name] = np.asarray(random.uniform(0, 1, (STEPS, *shape)), dtype)

    def train_in_tensorflow(self, optimizer, first, end, restore=None, only_values=False):
        """Trains steps [first, end): (prefix saved, {name: value})."""
        graph = Graph(self.initial, parts=2)
        with graph.graph.as_default():
            slopes = {name: tf1.placeholder(value.dtype, value.shape) for name, value in self.initial.items()}

        def gradient_of(name):
            def make(part, start, end):
                rows = Ellipsis if start is None else slice(start, end)
                return slopes[name][rows] * (part - tf.constant(self.target[name][rows]))
            return make

        train = graph.apply(self.OPTIMIZERS[optimizer][1](), {name: gradient_of(name) for name in self.initial})
        with graph.session() as session:
            if restore is not None:
                saver = graph.saver() if not only_values else tf1.train.Saver(tf1.trainable_variables())
                saver.restore(session, restore)
            for step in range(first, end):
                session.run(train, {slopes[name]: self.slopes[name][step] for name in slopes})
            self.assertEqual(session.run(graph.step), end if not only_values else end - first)
            prefix = graph.saver().save(session, self.path(f"theirs-{optimizer}"), end, write_meta_graph=False)
        found = self.read(prefix)
        return prefix, {name: found[name] for name in self.initial}

    def train_here(self, ps_count, optimizer, first, end, restore=None):
        """The same in a cluster."""
        words = self.define(self.initial, slices=3)
        words += ["restore", restore] if restore else ["init", *self.load(self.initial)]
        words += self.OPTIMIZERS[optimizer][0]
        for name in self.initial:
            words += ["fit", name, self.write(self.target[name]), self.write(self.slopes[name])]
        prefix = self.path(f"ours-{optimizer}-{ps_count}/model.ckpt")
        launch = self.launch(ps_count, *words, "train", first, end, *self.dump(self.initial), "step",
                             "save", prefix, end)
        self.assertRegex(launch.stdout, rf"(?m)\bstep {end}$")
        return f"{prefix}-{end}", self.dumped(self.initial)

    def differences(self, found, expected):
        """{type: the largest difference}."""
        largest = dict.fromkeys(TOLERANCE, 0.0)
        for name, value in expected.items():
            difference = float(np.max(np.abs(found[name].astype("f8") - value)))
            largest[value.dtype.name] = max(largest[value.dtype.name], difference)
        return largest

    def loss(self, values):
        return sum(float(np.sum(np.square(values[name].astype("f8") - self.target[name]))) for name in values)

    def assert_close(self, what, found, expected):
        differences = self.differences(found, expected)
        shown = ", ".join(f"{dtype} {differences[dtype]:.2g} of {TOLERANCE[dtype]:g}" for dtype in TOLERANCE)
        print(f"{what}: apart by {shown}", flush=True)
        for dtype, tolerance in TOLERANCE.items():
            self.assertLessEqual(differences[dtype], tolerance, f"{what}: {dtype}")

    def check(self, optimizer, ps_count):
        _, whole = self.train_in_tensorflow(optimizer, 0, STEPS)
        self.assertLess(self.loss(whole), 0.6 * self.loss(self.initial))
        what = f"{optimizer}, {ps_count} ps"
        ours, half = self.train_here(ps_count, optimizer, 0, HALF)
        _, continued = self.train_in_tensorflow(optimizer, HALF, STEPS, restore=ours)
        self.assert_close(f"{what}: {HALF} steps here, then in TensorFlow", continued, whole)

        theirs, their_half = self.train_in_tensorflow(optimizer, 0, HALF)
        self.assert_close(f"{what}: {HALF} steps on either side", half, their_half)
        _, continued = self.train_here(ps_count, optimizer, HALF, STEPS, restore=theirs)
        self.assert_close(f"{what}: {HALF} steps in TensorFlow, then here", continued, whole)

    def test_adam(self):
        for ps_count in CLUSTERS:
            with self.subTest(ps=ps_count):
                self.check("Adam", ps_count)

    def test_momentum(self):
        self.check("Momentum", 2)

    def test_without_slots_it_would_not_be_the_same(self):
        """The tolerance is so small that slots and powers that begin anew are seen."""
        for optimizer in self.OPTIMIZERS:
            _, whole = self.train_in_tensorflow(optimizer, 0, STEPS)
            ours, _ = self.train_here(2, optimizer, 0, HALF)
            _, continued = self.train_in_tensorflow(optimizer, HALF, STEPS, restore=ours, only_values=True)
            for dtype, difference in self.differences(continued, whole).items():
                self.assertGreater(difference, 100 * TOLERANCE[dtype], f"{optimizer}: {dtype}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
