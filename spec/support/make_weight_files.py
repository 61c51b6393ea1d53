"""Writes the files of spec/support/weights with PyTorch 1.13 and NumPy: what the readers must read.

    /usr/bin/python3 spec/support/make_weight_files.py

Beside each NAME.ext that must load lies NAME.ext.expected, a safetensors file with the same tensors, row-major, in
the dtypes that lua_equi loads them as. Files without one must be refused. Everything is made here, from arithmetic:
no weights of anybody's are in it.
"""
import collections
import io
import json
import math
import os
import pickle
import struct
import zipfile

import numpy
import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")
NAMES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64", torch.uint8: "U8", torch.bool: "BOOL"}
BECOMES = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.int8: torch.int64,
           torch.int16: torch.int64, torch.int32: torch.int64}


def place(name):
    return os.path.join(FOLDER, name)


def expect(name, tensors):
    """The safetensors file that says what `name` holds."""
    header, data = {}, b""
    for key, x in tensors.items():
        x = x.detach()
        x = x.to(BECOMES.get(x.dtype, x.dtype)).contiguous()
        raw = x.numpy().tobytes()
        header[key] = {"dtype": NAMES[x.dtype], "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(place(name + ".expected"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def bits(values, dtype):
    """A tensor of a 16-bit float type from the bits of its elements."""
    return torch.tensor(values, dtype=torch.int32).to(torch.int16).view(dtype)


def everything():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    tied = torch.linspace(-1, 1, 5)
    odd = [0x0000, 0x8000 - 65536, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x7c00, 0xfc00 - 65536, 0x3c00, 0x3555, 0x7e00]
    state = collections.OrderedDict()
    state["f32"] = torch.tensor([[1.5, -2.0], [float("inf"), 1e-40]])
    state["f64"] = torch.tensor([math.pi, -0.0, 5e-324], dtype=torch.float64)
    state["f16"] = bits(odd, torch.float16)
    state["bf16"] = bits(odd[:-1] + [0x7f80, 0xff80 - 65536, 0x7f7f, 0x3fc0, 0x7fc0], torch.bfloat16)
    state["i8"] = torch.tensor([-128, 0, 127], dtype=torch.int8)
    state["i16"] = torch.tensor([-32768, 7, 32767], dtype=torch.int16)
    state["i32"] = torch.tensor([-2**31, 1, 2**31 - 1], dtype=torch.int32)
    state["i64"] = torch.tensor([-2**63, 2**63 - 1])
    state["u8"] = torch.tensor([[0, 255]], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False, True])
    state["scalar"] = torch.tensor(3.25)
    state["count"] = torch.tensor(12)
    state["empty"] = torch.zeros(0, 3)
    state["empty_view"] = torch.zeros(3, 4, 0)[1:, 2:]
    state["transposed"] = base.t()
    state["strided"] = base[1::2, 1:5:3]
    state["offset"] = base[2, 3:]
    state["expanded"] = torch.tensor([[1.0], [2.0]]).expand(2, 3)
    state["permuted_f16"] = torch.arange(24).reshape(2, 3, 4).half().permute(2, 0, 1)
    state["channels_last"] = torch.arange(36.0).reshape(1, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    state["tied.a"] = tied
    state["tied.b"] = tied
    state["tied.part"] = tied[1:3]
    state["parameter"] = torch.nn.Parameter(torch.ones(2) / 3)
    state["frozen"] = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    state["n\u00e4me \u2603"] = torch.ones(1)
    return state


def save(name, value, zipped, tensors=None, **options):
    torch.save(value, place(name), _use_new_zipfile_serialization=zipped, **options)
    if tensors is not None:
        expect(name, tensors)


def checkpoints():
    state = everything()
    save("all.pt", state, True, state)
    save("all.th", state, False, state)
    save("protocol4.pt", {"w": torch.ones(2, 3), "b": torch.zeros(3)}, True,
         {"w": torch.ones(2, 3), "b": torch.zeros(3)}, pickle_protocol=4)
    save("tensor.pt", torch.arange(3), True, {"tensor": torch.arange(3)})

    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(torch.arange(p.numel()).reshape(p.shape) / 8 - i)
    save("net.pt", net.state_dict(), True, net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(2, 2, 3, 3)).sum().backward()
    optimizer.step()
    parallel = {"module." + k: v for k, v in net.state_dict().items()}
    checkpoint = {"epoch": 3, "arch": "net", "state_dict": parallel, "best_prec1": torch.tensor(71.5),
                  "optimizer": optimizer.state_dict(), "nothing": None, "flags": (True, False), "rate": 1e-3,
                  "seen": {1, 2}, "big": 2**70, "size": torch.Size([2, 3]), "device": torch.device("cpu")}
    save("wrapped.th", checkpoint, False, net.state_dict())
    save("wrapped.pt", {"model_state_dict": net.state_dict(), "loss": [0.5] * 3}, True, net.state_dict())
    a, b = torch.ones(2), torch.zeros(2, 2)
    save("nested.pt", {"encoder": {"w": a, "layers": [b, {"w": a}]}, 7: b, "step": 1}, True,
         {"encoder.w": a, "encoder.layers.0": b, "encoder.layers.1.w": a, "7": b})


class Command:
    def __reduce__(self):
        return os.system, ("touch /tmp/lua_equi_was_executed",)


class Evil:
    def __reduce__(self):
        return eval, ("open('/tmp/lua_equi_was_executed', 'w')",)


def refused():
    save("os_system.pt", {"w": torch.ones(2), "x": Command()}, True)
    save("os_system.th", {"w": torch.ones(2), "x": Command()}, False)
    save("eval.pt", {"w": torch.ones(2), "x": Evil()}, True, pickle_protocol=4)
    save("module.pt", torch.nn.Linear(1, 1), True)
    save("complex.pt", {"w": torch.ones(2, dtype=torch.complex64)}, True)
    with open(place("bare.pkl"), "wb") as f:
        pickle.dump({"w": numpy.ones(2)}, f)
    rezip("deflated.pt", "protocol4.pt", zipfile.ZIP_DEFLATED, {})
    rezip("big_endian.pt", "protocol4.pt", zipfile.ZIP_STORED, {"protocol4/byteorder": b"big"})
    scripted = torch.jit.script(torch.nn.Linear(1, 1))
    torch.jit.save(scripted, place("scripted.pt"))


def rezip(name, source, method, more):
    with zipfile.ZipFile(place(source)) as old, zipfile.ZipFile(place(name), "w", method) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
        for member, data in more.items():
            new.writestr(member, data)


def text(s):
    return b"U" + struct.pack("<B", len(s)) + s


def old_tensor(key, count, size, stride, view=b"N", offset=0):
    """A tensor as PyTorch before 0.4 pickled it, with Python 2."""
    def ints(v):
        return b"(" + b"".join(b"K" + struct.pack("<B", i) for i in v) + b"t"
    pid = (b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(key) + text(b"cuda:0") +
           b"K" + struct.pack("<B", count) + view + b"tQ")
    return b"ctorch._utils\n_rebuild_tensor\n(" + pid + b"K" + struct.pack("<B", offset) + ints(size) + ints(stride) + b"tR"


def python2():
    """Files of Python 2: dicts of lists of pairs, texts as bytes, views of storages."""
    whole, part = torch.arange(6.0).reshape(2, 3), torch.arange(10.0)
    view = b"(" + text(b"14") + b"K\x04K\x03t"
    pairs = (b"](" +
             b"](" + text(b"w") + old_tensor(b"12", 6, (2, 3), (3, 1)) + b"e" +
             b"](" + text(b"turned") + old_tensor(b"12", 6, (3, 2), (1, 3)) + b"e" +
             b"](" + text(b"part") + old_tensor(b"13", 10, (2,), (1,), view, 1) + b"e" +
             b"e")
    body = b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R."
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    out = io.BytesIO()
    for value in (torch.serialization.MAGIC_NUMBER, 1001, system):
        pickle.dump(value, out, protocol=2)
    out.write(body)
    pickle.dump(["12", "13"], out, protocol=2)
    for data in (whole, part):
        out.write(struct.pack("<q", data.numel()) + data.numpy().tobytes())
    with open(place("python2.pth"), "wb") as f:
        f.write(out.getvalue())
    expected = {"w": whole, "turned": whole.reshape(-1).reshape(2, 3).t(), "part": part[5:7]}
    loaded = torch.load(place("python2.pth"), map_location="cpu", encoding="latin1")
    for name, x in expected.items():
        assert torch.equal(loaded[name], x), name
    expect("python2.pth", expected)
    swapped = out.getvalue().replace(b"little_endian" + b"q\x02\x88", b"little_endian" + b"q\x02\x89")
    assert swapped != out.getvalue()
    with open(place("big_endian.th"), "wb") as f:
        f.write(swapped)


def arrays():
    def npy(name, x, expected):
        numpy.save(place(name), x)
        if expected is not None:
            expect(name, {"tensor": torch.from_numpy(numpy.ascontiguousarray(expected).reshape(numpy.shape(expected)))})

    grid = numpy.arange(24).reshape(2, 3, 4)
    npy("f32.npy", grid.astype("<f4") / 3, grid.astype("<f4") / 3)
    npy("fortran.npy", numpy.asfortranarray(grid.astype("<f8")), grid.astype("<f8"))
    npy("scalar.npy", numpy.float32(2.5), numpy.float32(2.5))
    npy("empty.npy", numpy.zeros((0, 3), "<f4"), numpy.zeros((0, 3), "<f4"))
    npy("big.npy", grid.astype(">f4"), None)
    npy("objects.npy", numpy.array([{"a": 1}, Command()], dtype=object), None)
    npy("fields.npy", numpy.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]), None)
    npy("text.npy", numpy.array(["ab"]), None)
    npy("complex.npy", numpy.zeros(2, "<c8"), None)
    many = {"f2": numpy.array([1.5, 6e-8, numpy.inf], "<f2"), "i1": numpy.array([-1], "i1"), "u1": grid.astype("u1"),
            "i2": numpy.array([-300], "<i2"), "u2": numpy.array([65535], "<u2"), "i4": numpy.array([-70000], "<i4"),
            "u4": numpy.array([2**32 - 1], "<u4"), "i8": grid, "u8": numpy.array([2**63 - 1], "<u8"),
            "bool": numpy.array([True, False]), "fortran": numpy.asfortranarray(grid.astype("<f4"))[:, :, ::1],
            "conv1/kernel": numpy.zeros((16, 16), "<f4")}
    expected = {k: torch.from_numpy(numpy.ascontiguousarray(v.astype("<i8") if v.dtype.kind in "iu" and v.dtype != "u1" else v))
                for k, v in many.items()}
    numpy.savez(place("many.npz"), **many)
    expect("many.npz", expected)
    numpy.savez_compressed(place("packed.npz"), **many)
    expect("packed.npz", expected)


def shards():
    """A model of two PyTorch files with an index, as Hugging Face writes it."""
    a, b = torch.ones(2), torch.arange(4.0).reshape(2, 2)
    torch.save({"a": a, "unused": b}, place("shard-1.bin"))
    torch.save({"b": b}, place("shard-2.bin"))
    with open(place("shards.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 24}, "weight_map": {"a": "shard-1.bin", "b": "shard-2.bin"}}, f)
        f.write("\n")
    expect("shards.index.json", {"a": a, "b": b})


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    torch.manual_seed(1)
    checkpoints()
    refused()
    python2()
    arrays()
    shards()
    for name in sorted(os.listdir(FOLDER)):
        print(os.path.getsize(place(name)), name)
