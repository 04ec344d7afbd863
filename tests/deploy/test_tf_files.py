"""paramd ckpt against TensorFlow itself: it reads what we write, we read what it writes, bit by bit."""
# SPDX-License-Identifier: Apache-2.0
import os
import unittest

from ckpt_support import CkptTest, hold_back

try:
    import ml_dtypes
    import numpy as np
    import tensorflow as tf
except ImportError:
    hold_back("TensorFlow")

from ckpt_support import every_dtype  # NumPy is there

tf1 = tf.compat.v1


def with_bfloat16():
    arrays = every_dtype()
    bits = np.random.default_rng(2).integers(0, 2**16, 12, dtype=np.uint16)
    arrays["types/bfloat16"] = bits.view(ml_dtypes.bfloat16).reshape(3, 4)
    return arrays


class TensorFlow(CkptTest):
    def save(self, name, variables, sharded=False, devices=None, **options):
        """Saves {name: array or function that makes a variable} by TensorFlow's Saver; the prefix."""
        prefix = self.path(name)
        os.makedirs(os.path.dirname(prefix), exist_ok=True)
        with tf1.Graph().as_default():
            for i, (key, value) in enumerate(variables.items()):
                with tf1.device(devices[i % len(devices)] if devices else None):
                    if callable(value):
                        value(key)
                    else:
                        tf1.get_variable(key, initializer=tf.constant(value), use_resource=False)
            saver = tf1.train.Saver(sharded=sharded, **options)
            config = tf1.ConfigProto(device_count={"CPU": max(2, len(devices or ()))})
            with tf1.Session(config=config) as session:
                session.run(tf1.global_variables_initializer())
                return saver.save(session, prefix, write_meta_graph=False)

    def assert_read(self, prefix, arrays):
        """Our tools read exactly these arrays."""
        self.ckpt("verify", prefix)
        self.ckpt("export", prefix, self.path("read.npz"))
        with np.load(self.path("read.npz")) as read:
            self.assertEqual(sorted(read.files), sorted(arrays))
            for name, expected in arrays.items():
                found = read[name]
                if expected.dtype == ml_dtypes.bfloat16:
                    found = found.view(ml_dtypes.bfloat16)
                self.assert_same_bits(found, expected, name)

    def same_files(self, ours, theirs):
        a, b = self.files(ours), self.files(theirs)
        self.assertEqual(sorted(a), sorted(b))
        for suffix in a:
            self.assertEqual(a[suffix], b[suffix], suffix)


class TensorFlowReadsOurs(TensorFlow):
    def test_every_dtype_bit_by_bit(self):
        arrays = with_bfloat16()
        prefix = self.import_arrays("m", arrays)
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        self.assertEqual(shapes, {name: list(value.shape) for name, value in arrays.items()})
        for name, expected in arrays.items():
            self.assert_same_bits(np.asarray(reader.get_tensor(name)), expected, name)

    def test_the_saver_restores(self):
        arrays = {"w": np.arange(6, dtype="f4").reshape(2, 3), "deep/b": np.arange(4, dtype="f8")}
        prefix = self.import_arrays("run/m-5", arrays)
        with tf1.Graph().as_default():
            made = {name: tf1.get_variable(name, value.shape, value.dtype) for name, value in arrays.items()}
            with tf1.Session() as session:
                tf1.train.Saver().restore(session, prefix)
                for name, value in session.run(made).items():
                    self.assert_same_bits(value, arrays[name], name)

    def test_inspect_prints_what_its_own_tool_prints(self):
        prefix = self.import_arrays("m", with_bfloat16())
        theirs = tf.train.load_checkpoint(prefix).debug_string().decode()
        self.assertEqual(self.ckpt("inspect", prefix).out, theirs)

    def test_a_partition_of_ours(self):
        prefix = self.describe_checkpoint(
            "m", "slice e float [5,2] 0,3:0,2 1", "slice c double [4,6] -:0,2 1", "part",
            "slice e float [5,2] 3,2:0,2 2", "slice c double [4,6] -:2,4 3")
        reader = tf.train.load_checkpoint(prefix)
        self.ckpt("export", prefix, self.path("out.npz"))
        with np.load(self.path("out.npz")) as out:
            for name in out.files:
                self.assert_same_bits(reader.get_tensor(name), out[name], name)


class WeReadTensorFlows(TensorFlow):
    def test_the_same_tensors_make_the_same_files(self):
        arrays = with_bfloat16()
        del arrays["Gewicht/\u00fc/\u6743 \u00d7"]  # no name for an op, so for none of its variables
        self.same_files(self.import_arrays("ours", arrays), self.save("theirs", arrays))

    def test_names_of_any_kind_make_the_same_files(self):
        arrays = with_bfloat16()
        names = sorted(arrays)
        tf.raw_ops.SaveV2(prefix=self.path("theirs"), tensor_names=names, shape_and_slices=[""] * len(names),
                          tensors=[tf.constant(arrays[name]) for name in names])
        self.same_files(self.import_arrays("ours", arrays), self.path("theirs"))
        self.assert_read(self.path("theirs"), arrays)

    def test_saver_sharded(self):
        arrays = {f"v{i}": np.full((3, i), i, "f4") for i in range(1, 9)}
        prefix = self.save("run/m", arrays, sharded=True, devices=["/cpu:0", "/cpu:1"])
        self.assertEqual(len(self.files(prefix)), 3)
        self.assert_read(prefix, arrays)
        self.assertEqual(self.ckpt_json("ls", self.path("run"))["checkpoints"][0]["shards"], 2)

    def test_partitioned_variables(self):
        value = np.arange(35, dtype="f4").reshape(7, 5)

        def initial(shape, dtype, partition_info):
            box = tuple(slice(start, start + size) for start, size in zip(partition_info.var_offset, shape))
            return tf.constant(value[box], dtype)

        def partitioned(axis, count):
            def make(name):
                tf1.get_variable(name, value.shape, initializer=initial, use_resource=False,
                                 partitioner=tf1.fixed_size_partitioner(count, axis))
            return make

        for sharded in (False, True):
            prefix = self.save(f"m{sharded}", {"rows": partitioned(0, 3), "columns": partitioned(1, 2),
                                               "plain": np.float32([1, 2])}, sharded, ["/cpu:0", "/cpu:1"])
            self.assert_read(prefix, {"rows": value, "columns": value, "plain": np.float32([1, 2])})
            self.assertEqual(self.ckpt("inspect", prefix).out,
                             "columns (DT_FLOAT) [7,5] (2 slices)\nplain (DT_FLOAT) [2]\nrows (DT_FLOAT) [7,5] (3 slices)\n")

    def test_object_based_checkpoints(self):
        model = tf.Module()
        model.w = tf.Variable(np.arange(6, dtype="f4").reshape(2, 3))
        model.step = tf.Variable(np.int64(3))
        prefix = tf.train.Checkpoint(model=model).save(self.path("run", "ckpt"))
        suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
        self.assert_read(prefix, {"model/w" + suffix: model.w.numpy(), "model/step" + suffix: model.step.numpy(),
                                  "save_counter" + suffix: np.int64(1)})
        graph = tf.train.load_checkpoint(prefix).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
        printed = self.ckpt("inspect", self.path("run"), "--tensor_name=_CHECKPOINTABLE_OBJECT_GRAPH").out
        self.assertEqual(printed, f"tensor_name:  _CHECKPOINTABLE_OBJECT_GRAPH\n{graph!r}\n")
        latest = [c for c in self.ckpt_json("ls", self.path("run"))["checkpoints"] if c["latest"]]
        self.assertEqual([(c["prefix"], c["step"]) for c in latest], [(prefix, 1) if prefix[-2:] == "-1" else prefix])

    def test_more_than_ten_thousand_tensors(self):
        names = sorted(f"model/layer_{i}/weights" for i in range(10_500))
        arrays = {name: np.array([i, -i], "i4") for i, name in enumerate(names)}
        tf.raw_ops.SaveV2(prefix=self.path("theirs"), tensor_names=names, shape_and_slices=[""] * len(names),
                          tensors=[tf.constant(arrays[name]) for name in names])
        self.assert_read(self.path("theirs"), arrays)
        self.same_files(self.import_arrays("ours", arrays), self.path("theirs"))

    def test_strings_and_types_that_no_variable_has(self):
        strings = np.array([[b"", b"a'b"], [b"\x00\xff", b"x" * 300]], object)
        tf.raw_ops.SaveV2(prefix=self.path("m"), tensor_names=["c", "s", "w"], shape_and_slices=[""] * 3,
                          tensors=[tf.constant([1j], tf.complex64), tf.constant(strings), tf.constant([1.5])])
        self.assertEqual(self.ckpt("inspect", self.path("m")).out,
                         "c (DT_COMPLEX64) [1]\ns (DT_STRING) [2,2]\nw (DT_FLOAT) [1]\n")
        self.assertEqual(self.ckpt("inspect", self.path("m"), "--tensor_name=s").out,
                         "tensor_name:  s\n[[b'' b\"a'b\"]\n [b'\\x00\\xff' b'" + "x" * 300 + "']]\n")
        result = self.ckpt("export", self.path("m"), self.path("out.npz"))
        self.assertIn("'c' has the type complex64", result.err)
        self.assertIn("1 tensors, 4 B; 2 left out", result.err)


class Upkeep(TensorFlow):
    def test_prune_what_its_saver_keeps(self):
        with tf1.Graph().as_default():
            tf1.get_variable("w", initializer=tf.constant([1.0]))
            saver = tf1.train.Saver(max_to_keep=4)
            with tf1.Session() as session:
                session.run(tf1.global_variables_initializer())
                for step in range(1, 7):
                    saver.save(session, self.path("run/m"), global_step=step)
        listing = self.ckpt_json("ls", self.path("run"))["checkpoints"]
        self.assertEqual([c["step"] for c in listing], [3, 4, 5, 6])
        self.ckpt("prune", self.path("run"), "--keep=2")
        self.assertEqual(tf.train.latest_checkpoint(self.path("run")), self.path("run/m-6"))
        state = tf.train.get_checkpoint_state(self.path("run"))
        self.assertEqual(list(state.all_model_checkpoint_paths), [self.path("run/m-5"), self.path("run/m-6")])
        self.assertFalse([name for name in os.listdir(self.path("run")) if name.startswith(("m-3", "m-4"))])


if __name__ == "__main__":
    unittest.main(verbosity=2)
