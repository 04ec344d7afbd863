"""Compares our checkpoints with TensorFlow's, byte for byte, in both directions.

usage: tf_interop.py BUNDLE_TOOL
SPDX-License-Identifier: Apache-2.0
"""
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import numpy as np
    import tensorflow as tf
except ImportError:
    print("skipped: TensorFlow not installed")
    sys.exit(1 if os.environ.get("PS_REQUIRE_TENSORFLOW") == "1" else 77)

TOOL = sys.argv[1]
DTYPES = ["float", "double", "int32", "uint8", "int16", "int8", "int64", "bool", "uint16", "half",
          "bfloat16", "uint32", "uint64"]


def tf_dtype(name):
    special = {"float": tf.float32, "double": tf.float64, "half": tf.float16}
    return special.get(name) or getattr(tf, name)


def values(dtype, shape, seed):
    """The array whose bytes are (seed + 37 * index) mod 256."""
    width = np.dtype(tf_dtype(dtype).as_numpy_dtype).itemsize
    count = int(np.prod(shape, dtype=np.int64)) * width
    data = ((seed + 37 * np.arange(count, dtype=np.int64)) % 256).astype(np.uint8)
    if dtype == "bool":
        data &= 1
    return np.frombuffer(data.tobytes(), tf_dtype(dtype).as_numpy_dtype).reshape(shape)


def tensor_of(array, dtype):
    return tf.constant(array, dtype=tf_dtype(dtype), shape=array.shape)


class Case:
    """Tensors by part, as a description for the tool and as arguments for SaveV2."""

    def __init__(self, name):
        self.name, self.parts, self.lines, self.expected = name, [[]], [], {}

    def part(self):
        self.parts.append([])
        self.lines.append("part")

    def add(self, name, dtype, shape, seed=1):
        array = values(dtype, shape, seed)
        self.parts[-1].append((name, "", tensor_of(array, dtype)))
        text = "[%s]" % ",".join(map(str, shape))
        self.lines.append("tensor %s %s %s %d" % (name, dtype, text, seed))
        self.expected[name] = "%s %s %s" % (dtype, text, array.tobytes().hex() or "-")

    def slice(self, name, dtype, shape, extents, seed):
        """extents: (start, length), or None for a dimension spelled '-'."""
        spec = ":".join("-" if e is None else "%d,%d" % e for e in extents)
        box = [d if e is None else e[1] for e, d in zip(extents, shape)]
        array = values(dtype, box, seed)
        shape_and_slice = " ".join(map(str, shape)) + " " + spec
        self.parts[-1].append((name, shape_and_slice, tensor_of(array, dtype)))
        text = "[%s]" % ",".join(map(str, shape))
        self.lines.append("slice %s %s %s %s %d" % (name, dtype, text, spec, seed))
        whole = self.expected.setdefault(name, [dtype, np.zeros(shape, array.dtype)])
        where = tuple(slice(None) if e is None else slice(e[0], e[0] + e[1]) for e in extents)
        whole[1][where] = array

    def strings(self, name, shape, strings):
        self.parts[-1].append((name, "", tf.constant(strings, shape=shape, dtype=tf.string)))
        text = "[%s]" % ",".join(map(str, shape))
        hexes = " ".join(s.hex() or "-" for s in strings)
        self.lines.append("strings %s %s %s" % (name, text, hexes))
        self.expected[name] = ("string %s %s" % (text, hexes)).rstrip()

    def dump(self):
        lines = []
        for name in sorted(self.expected, key=lambda n: n.encode()):
            value = self.expected[name]
            if isinstance(value, list):
                text = "[%s]" % ",".join(map(str, value[1].shape))
                value = "%s %s %s" % (value[0], text, value[1].tobytes().hex())
            lines.append("%s %s" % (name, value))
        return lines

    def save_by_tensorflow(self, prefix):
        parts = [p for p in self.parts if p]
        names = ["%s_part%d" % (prefix, i) for i in range(len(parts))]
        if len(parts) == 1:
            names = [prefix]
        for name, part in zip(names, parts):
            tf.raw_ops.SaveV2(prefix=name, tensor_names=[t[0] for t in part],
                              shape_and_slices=[t[1] for t in part], tensors=[t[2] for t in part])
        if len(parts) > 1:
            tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=names, destination_prefix=prefix)

    def save_by_tool(self, prefix):
        subprocess.run([TOOL, "write", prefix], input="\n".join(self.lines).encode(), check=True)


def cases():
    case = Case("types")
    for i, dtype in enumerate(DTYPES):
        case.add("t/%s" % dtype, dtype, [2, 3], i)
    case.add("scalar", "float", [], 3)
    case.add("empty", "float", [0, 4], 3)
    case.add("Gewicht/\u00fc", "int64", [1], 9)
    case.add("rank8", "int8", [1, 2, 1, 2, 1, 2, 1, 2], 9)
    yield case

    case = Case("strings")
    case.strings("one", [], [b"hello"])
    case.strings("many", [2, 2], [b"", b"\x00\xff", b"x" * 300, "\u6743".encode()])
    case.strings("none", [0], [])
    yield case

    case = Case("partitioned")
    case.slice("emb", "float", [5, 2], [(0, 3), (0, 2)], 1)
    case.add("global_step", "int64", [], 7)
    case.part()
    case.slice("emb", "float", [5, 2], [(3, 2), (0, 2)], 2)
    yield case

    case = Case("columns_and_full_extents")
    case.slice("w", "double", [3, 200], [None, (0, 70)], 1)
    case.slice("w", "double", [3, 200], [None, (70, 130)], 2)
    case.slice("all", "int32", [4, 4], [(0, 4), (0, 4)], 5)  # covers everything: a plain tensor
    case.slice("all_full", "int32", [4, 4], [None, None], 6)
    yield case

    case = Case("second_part_first_slice")
    case.add("a", "float", [2], 1)
    case.part()
    case.slice("z", "float", [100000, 1], [(0, 8192), (0, 1)], 3)
    case.part()
    case.slice("z", "float", [100000, 1], [(8192, 91808), (0, 1)], 4)
    case.add("b", "float", [0], 1)
    yield case

    case = Case("many_blocks")
    for i in range(12000):
        case.add("model/layer_%d/weights" % (i * 7919 % 12000), "uint8", [3], i % 256)
    yield case


def compare_files(case, ours, theirs):
    def files(directory):
        return sorted(f for f in os.listdir(directory) if f.startswith("m."))

    assert files(ours) == files(theirs), (case.name, files(ours), files(theirs))
    for name in files(ours):
        with open(os.path.join(ours, name), "rb") as a, open(os.path.join(theirs, name), "rb") as b:
            assert a.read() == b.read(), "%s: %s differs" % (case.name, name)


def check_tensorflow_reads(case, prefix):
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    assert sorted(shapes) == sorted(case.expected), case.name
    for line in case.dump()[:100]:
        name, dtype, _, rest = line.split(" ", 3) if line.count(" ") > 2 else line.split(" ") + [""]
        value = reader.get_tensor(name)
        if dtype == "string":
            flat = [value] if isinstance(value, bytes) else list(np.asarray(value).reshape(-1))
            found = " ".join(s.hex() or "-" for s in flat)
        else:
            found = np.asarray(value).tobytes().hex() or "-"
        assert found == rest, (case.name, name)


def check_state_file(directory):
    tf.compat.v1.train.update_checkpoint_state(
        directory, os.path.join(directory, "m-2"),
        all_model_checkpoint_paths=[os.path.join(directory, "m-\u00fc'\"\\-1"),
                                    os.path.join(directory, "m-2")],
        all_model_checkpoint_timestamps=[1574307000.25, 1574307123.0],
        last_preserved_timestamp=1574300000.123456)
    path = os.path.join(directory, "checkpoint")
    with open(path, "rb") as file:
        theirs = file.read()
    ours = subprocess.run([TOOL, "state", path], check=True, capture_output=True).stdout
    assert ours == theirs, "state file differs:\n%r\n%r" % (ours, theirs)
    with open(path, "wb") as file:
        file.write(ours)
    assert tf.train.get_checkpoint_state(directory).model_checkpoint_path.endswith("m-2")


def main():
    for case in cases():
        with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as theirs:
            case.save_by_tool(os.path.join(ours, "m"))
            case.save_by_tensorflow(os.path.join(theirs, "m"))
            compare_files(case, ours, theirs)
            check_tensorflow_reads(case, os.path.join(ours, "m"))
            printed = subprocess.run([TOOL, "print", os.path.join(theirs, "m")], check=True,
                                     capture_output=True).stdout.decode().splitlines()
            assert [p.rstrip() for p in printed] == case.dump(), case.name
            print("same bytes:", case.name, sorted(os.listdir(ours)))
    with tempfile.TemporaryDirectory() as directory:
        check_state_file(directory)
        print("same bytes: state file")
    print("TensorFlow", tf.__version__, "and we agree")


if __name__ == "__main__":
    main()
