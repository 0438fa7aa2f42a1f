"""The face description network of dlib, read from its ``.dat`` file and written as ONNX.

``dlib_face_recognition_resnet_model_v1.dat`` (Davis King, CC0) is a residual network of 29
convolutions: a colour picture of 150 × 150 in, 128 numbers out. dlib's own library is not needed:
the file holds every layer's numbers in order, each after its shape, and the layers between them
are known from the published definition of the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kyc.check import Error

SIDE = 150
_MEAN = (122.782, 117.001, 104.298)  # red, green, blue
_SCALE = 256.0
# Blocks of two convolutions, input first: how many filters, and whether the first one halves.
_BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True), *[(64, False)] * 3],
    *[(128, True), *[(128, False)] * 2],
    *[(256, True), *[(256, False)] * 2],
    (256, True),
)
_LARGEST = 1 << 21  # numbers in one layer; the file's largest has 590,080

Numbers = NDArray[np.float32]


class Unreadable(Error):
    """The file is not the network this module knows."""


def read(data: bytes) -> list[Numbers]:
    """The layers' numbers, input first: 29 × (convolution, scale and shift), then the last matrix.

    A tensor is its version (2), four sizes and little-endian floats; what stands between two
    tensors are short settings of the layers, so the next one is searched for by its expected size.
    """
    found: list[Numbers] = []
    at = data.find(b"input_rgb_image_sized")
    for size in _sizes():
        at, numbers = _next(data, at, size)
        found.append(numbers)
    return found


def _sizes() -> list[int]:
    sizes, channels = [32 * 3 * 49 + 32, 64], 32
    for filters, _ in _BLOCKS:
        sizes += [filters * channels * 9 + filters, 2 * filters]
        sizes += [filters * filters * 9 + filters, 2 * filters]
        channels = filters
    return [*sizes, channels * 128]


def _next(data: bytes, at: int, size: int) -> tuple[int, Numbers]:
    """The next tensor of ``size`` numbers and where it ends."""
    while 0 <= (at := data.find(b"\x01\x02", at)):
        sides, start = _integers(data, at + 2, 4)
        end = start + 4 * size
        if sides and int(np.prod(sides)) == size and end <= len(data):
            return end, np.frombuffer(data, "<f4", size, start).astype(np.float32)
        at += 1
    raise Unreadable("a layer of the network is missing")


def _integers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """``count`` positive integers, each a byte that says its length and then its bytes."""
    values = []
    for _ in range(count):
        length = data[at] if at < len(data) else 0
        value = int.from_bytes(data[at + 1 : at + 1 + length], "little")
        if not (1 <= length <= 4 and 0 < value <= _LARGEST):
            return [], at
        values.append(value)
        at += 1 + length
    return values, at


def convert(source: Path, target: Path) -> None:
    """Write the ONNX form: input ``(1, 3, 150, 150)`` RGB 0..255, output ``(1, 128)``."""
    import onnx

    onnx.save(_Graph(read(source.read_bytes())).model(), str(target))


class _Graph:
    """The network written down node after node."""

    def __init__(self, numbers: list[Numbers]) -> None:
        self._numbers = iter(numbers)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def model(self) -> Any:
        from onnx import TensorProto, helper

        mean = self._weight(np.array(_MEAN, np.float32).reshape(1, 3, 1, 1))
        scale = self._weight(np.array(1 / _SCALE, np.float32))
        x = self._add("Mul", [self._add("Sub", ["data", mean]), scale])
        x = self._add("Relu", [self._convolve(x, 3, 32, 7, halves=True)])
        x = self._add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
        side, channels = 35, 32
        for filters, halves in _BLOCKS:
            x, side = self._block(x, side, (channels, filters), halves=halves)
            channels = filters
        x = self._add("ReduceMean", [x], axes=[2, 3], keepdims=0)
        x = self._add("MatMul", [x, self._weight(next(self._numbers).reshape(channels, 128))])
        inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
        outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 128])]
        graph = helper.make_graph(self._nodes, "dlib", inputs, outputs, self._weights)
        opset = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)

    def _block(
        self, x: str, side: int, channels: tuple[int, int], *, halves: bool
    ) -> tuple[str, int]:
        """Two convolutions beside a short cut; what is smaller of the two is filled with zeros."""
        before, after = channels
        inner = self._add("Relu", [self._convolve(x, before, after, 3, halves=halves)])
        inner = self._convolve(inner, after, after, 3)
        if halves:
            x = self._add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            short, long = side // 2, (side - 3) // 2 + 1
            side = max(short, long)
            x = self._fill(x, after - before, side - short)
            inner = self._fill(inner, 0, side - long)
        return self._add("Relu", [self._add("Add", [inner, x])]), side

    def _convolve(self, x: str, before: int, after: int, side: int, *, halves: bool = False) -> str:
        """A convolution with the scale and shift that follow it folded in."""
        numbers, (scale, shift) = next(self._numbers), np.split(next(self._numbers), 2)
        filters, bias = numbers[:-after].reshape(after, before, side, side), numbers[-after:]
        filters = filters * scale[:, None, None, None]
        names = [self._weight(filters), self._weight(bias * scale + shift)]
        around = 0 if halves else side // 2
        stride = 2 if halves else 1
        return self._add("Conv", [x, *names], strides=[stride] * 2, pads=[around] * 4)

    def _fill(self, x: str, channels: int, sides: int) -> str:
        if not channels and not sides:
            return x
        amounts = np.array([0, 0, 0, 0, 0, channels, sides, sides], np.int64)
        return self._add("Pad", [x, self._weight(amounts)])

    def _add(self, kind: str, inputs: list[str], **settings: Any) -> str:
        from onnx import helper

        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **settings))
        return name

    def _weight(self, numbers: Any) -> str:
        from onnx import numpy_helper

        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(numbers), name))
        return name
