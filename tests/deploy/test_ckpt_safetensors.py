"""paramd ckpt export and import against the safetensors package, and against files that lie."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import struct
import unittest

from ckpt_support import CkptTest, every_dtype, hold_back

try:
    import numpy as np
    import safetensors
    from safetensors import numpy as st
except ImportError:
    hold_back("safetensors")

NAMES = {"float": "F32", "double": "F64", "half": "F16", "bfloat16": "BF16", "int8": "I8", "int16": "I16",
         "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
         "bool": "BOOL"}


class Safetensors(CkptTest):
    def test_package_to_checkpoint_to_package(self):
        arrays = every_dtype()
        st.save_file(arrays, self.path("in.safetensors"), metadata={"format": "np"})
        self.ckpt("import", self.path("in.safetensors"), self.path("m"))
        self.ckpt("verify", self.path("m"))
        self.ckpt("export", self.path("m"), self.path("out.safetensors"))
        found = st.load_file(self.path("out.safetensors"))
        self.assertEqual(sorted(found), sorted(arrays))
        for name in arrays:
            self.assert_same_bits(found[name], arrays[name], name)

    def test_every_dtype_by_its_name(self):
        prefix = self.describe_checkpoint("m", *[f"tensor v/{n} {n} [3] {i}" for i, n in enumerate(NAMES)])
        self.ckpt("export", "--to=safetensors", prefix, self.path("out"))
        with open(self.path("out"), "rb") as file:
            found = dict(safetensors.deserialize(file.read()))
        for i, (dtype, name) in enumerate(NAMES.items()):
            value = found[f"v/{dtype}"]
            self.assertEqual((value["dtype"], value["shape"]), (name, [3]))
            expected = bytes((i + 37 * at) % 256 & (1 if dtype == "bool" else 255) for at in range(len(value["data"])))
            self.assertEqual(bytes(value["data"]), expected, dtype)
        self.ckpt("import", self.path("out"), self.path("again"))
        self.assertEqual(self.ckpt("diff", prefix, self.path("again")).out, "the same: 13 tensors\n")

    def test_all_data_is_aligned(self):
        self.ckpt("export", self.import_arrays("m", every_dtype()), self.path("out.safetensors"))
        with open(self.path("out.safetensors"), "rb") as file:
            data = file.read()
        size = struct.unpack("<Q", data[:8])[0]
        self.assertEqual(size % 8, 0)
        widths = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "I16": 2, "U16": 2}
        for item in json.loads(data[8:8 + size]).values():
            self.assertEqual(item["data_offsets"][0] % widths.get(item["dtype"], 1), 0)

    def test_same_checkpoint_as_from_npz(self):
        arrays = every_dtype()
        st.save_file(arrays, self.path("in.safetensors"))
        self.ckpt("import", self.path("in.safetensors"), self.path("a"))
        self.assertEqual(self.files(self.path("a")), self.files(self.import_arrays("b", arrays)))

    def test_partitioned_and_left_out(self):
        prefix = self.describe_checkpoint("m", "slice e float [4,2] 0,1:0,2 1", "strings s [1] 61", "part",
                                          "slice e float [4,2] 1,3:0,2 9")
        self.assertIn("'s' holds strings; left out", self.ckpt("export", prefix, self.path("o.safetensors")).err)
        self.assertEqual(st.load_file(self.path("o.safetensors"))["e"].shape, (4, 2))

    def test_the_reserved_name(self):
        prefix = self.import_arrays("m", {"__metadata__": np.zeros(1), "a": np.zeros(1)})
        self.assertIn("--tensors", self.ckpt("export", prefix, self.path("o.safetensors"), code=65).err)
        self.assertFalse(os.path.exists(self.path("o.safetensors")))
        self.ckpt("export", prefix, self.path("o.safetensors"), "--tensors=a")


class Hostile(CkptTest):
    def write(self, header, data=b"", size=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        with open(self.path("x"), "wb") as file:
            file.write(struct.pack("<Q", len(text) if size is None else size) + text + data)

    def refuse(self, pattern, code=65):
        result = self.ckpt("import", self.path("x"), self.path("m"), code=code)
        self.assertRegex(result.err, pattern)
        self.assertEqual(os.listdir(self.directory), ["x"])

    def item(self, begin=0, end=4, dtype="F32", shape=(1,)):
        return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}

    def test_lengths(self):
        for size in (100, 2**32, 2**63, 2**64 - 1):
            self.write(b"{}", size=size)
            self.refuse("header is said to be longer than the file")
        self.write(b"{}"[:1], size=1)
        self.refuse("column")
        self.write(b"", size=0)
        self.refuse("no JSON object")
        with open(self.path("x"), "wb") as file:
            file.write(struct.pack("<Q", 60 << 20))
            file.truncate(100 << 20)
        self.refuse("the limit is", code=203)

    def test_headers(self):
        for text in (b"[]", b" {}", b"{", b"{}x", b'{"a": 1}', b'{"a": {}}', b'{"a": [[]]}', b"{" * 4000,
                     b'{"a": {"dtype": 1, "shape": [], "data_offsets": [0, 0]}}', b'{"\xff": {}}'):
            self.write(text)
            self.refuse("'.*x'")
        self.write({})
        self.refuse("holds no tensors")
        text = json.dumps({"a": self.item()})[1:-1]
        self.write(b"{" + text.encode() + b"," + text.encode() + b"}", bytes(4))
        self.refuse("duplicate")

    def test_offsets(self):
        self.write({"a": self.item(0, 4), "b": self.item(2, 6)}, bytes(6))
        self.refuse("overlap")
        self.write({"a": self.item(0, 4), "b": self.item(6, 10)}, bytes(10))
        self.refuse("gap")
        self.write({"a": self.item(0, 4), "b": self.item(0, 4)}, bytes(4))
        self.refuse("overlap")
        self.write({"a": self.item(0, 4)}, bytes(5))
        self.refuse("has 5 bytes of data, but its tensors take 4")
        self.write({"a": self.item(0, 4)}, bytes(3))
        self.refuse("has 3 bytes of data, but its tensors take 4")
        for offsets in ([4, 0], [-4, 0], [0, 2**63], [0], [0, 4, 8], ["0", 4], [0.0, 4], 4):
            self.write({"a": {**self.item(), "data_offsets": offsets}}, bytes(4))
            self.refuse("x': 'a'|column")

    def test_shapes_and_types(self):
        for shape, pattern in (([2], "takes 8"), ([-1], "-1"), ([2**40, 2**40], "x': 'a'"), ([1.5], "whole"),
                               ([1] * 9, "more than 8"), ([True], "whole")):
            self.write({"a": self.item(shape=shape)}, bytes(4))
            self.refuse(pattern)
        for dtype in ("F8_E4M3", "C64", "f32", ""):
            self.write({"a": self.item(dtype=dtype)}, bytes(4))
            self.refuse(f"no variable can have the type '{dtype}'")
        self.write({"a": self.item(0, 1, "BOOL")}, b"\x02")
        self.refuse("holds the byte 2")
        self.write({"": self.item()}, bytes(4))
        self.refuse("a tensor's name has 1 to")


if __name__ == "__main__":
    unittest.main(verbosity=2)
