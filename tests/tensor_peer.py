#!/usr/bin/env python3
"""For tests/tensors.cpp: reads with NumPy and PyTorch what the library wrote into a folder, and writes what it is to read.

.safetensors files are read and written by the public description of the format, so that the package of that name need
not be there; where it is, it reads them, too.
"""
import json
import struct
import sys
import zipfile

import numpy

folder = sys.argv[1]
expected = {"W": numpy.array([[1.5, -2], [0.25, 3], [4, 7]]), "b": numpy.array([0.1, -0.0, numpy.inf]),
            "n": numpy.array(2.5), "none": numpy.zeros((0, 3)), "layer.0/é": numpy.arange(24.0).reshape(2, 3, 4)}
types = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_safetensors(path):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header, numbers = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        data = numbers[slice(*entry["data_offsets"])]
        if entry["dtype"] == "BF16":  # the upper halves of floats
            array = (numpy.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = numpy.frombuffer(data, types[entry["dtype"]])
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def write_safetensors(path, dtype, arrays):
    """arrays: name → (shape, bytes)."""
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, data) in arrays.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(numbers), len(numbers) + len(data)]}
        numbers += data
    text = json.dumps(header).encode()  # é is escaped
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + numbers)


def check(found, tolerance=0.0):
    assert sorted(found) == sorted(expected), sorted(found)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        values = found[name].astype(float)
        assert numpy.isclose(values, array, rtol=tolerance, atol=0).all(), name
        assert (numpy.signbit(values) == numpy.signbit(array)).all(), name


class Stream:
    """A file that cannot go back."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.write, self.flush = self.file.write, self.file.flush


for archive in ("ours.npz", "ours64.npz"):
    check(numpy.load(folder + archive))
    assert zipfile.ZipFile(folder + archive).testzip() is None
for dtype, tolerance in (("f64", 0), ("f32", 2**-24), ("f16", 2**-11), ("bf16", 2**-8)):
    check(read_safetensors(f"{folder}ours_{dtype}.safetensors"), tolerance)
try:
    import safetensors.numpy
    check(safetensors.numpy.load_file(folder + "ours_f64.safetensors"))
except ImportError:
    pass

numpy.savez(folder + "theirs.npz", **expected)
numpy.savez_compressed(folder + "theirs_compressed.npz", **expected)
stream = Stream(folder + "theirs_stream.npz")
with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, array in expected.items():
        with archive.open(name + ".npy", "w", force_zip64=True) as member:
            numpy.lib.format.write_array(member, numpy.asfortranarray(array) if array.ndim else array)
stream.file.close()
write_safetensors(folder + "theirs.safetensors", "F64",
                  {name: (array.shape, array.astype("<f8").tobytes()) for name, array in expected.items()})

try:
    import torch
except ImportError:
    print("tensor_peer.py: PyTorch is missing (python3-torch); its part is skipped")
    sys.exit()
torch.manual_seed(1)
values, doubles = torch.randn(1000) * torch.logspace(-6, 4, 1000), {}
for dtype, kind, bits in (("f32", torch.float32, torch.int32), ("f16", torch.float16, torch.int16),
                          ("bf16", torch.bfloat16, torch.int16)):
    doubles[dtype] = values.to(kind).double().numpy()
    data = values.to(kind).view(bits).numpy().tobytes()
    write_safetensors(f"{folder}torch_{dtype}.safetensors", dtype.upper(), {"x": ((1000,), data)})
numpy.savez(folder + "torch.npz", **doubles)
torch.save({"weight": values}, folder + "net.pt")
