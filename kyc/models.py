"""The models: found inside installed packages, verified, and made ready to load.

``models.toml`` beside this module names each one with its SHA-256. :func:`prepare` verifies the
files, converts what cannot be loaded as it is shipped, and writes the results into a directory;
run again it only verifies. Nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kyc.check import Error

_RECORDS = {"sight": "prepared.json", "hearing": "prepared-hearing.json"}  # a process each
_RECIPE = 2  # raise when a converter below changes, so that caches are made anew
# What was measured belongs to the model it was measured with.
_NEVER_INHERITED = ("threshold", "companion", "share")


class ModelRefused(Error):
    """A model file is missing or is not the one the manifest names."""


@dataclass(frozen=True)
class Model:
    """One row of the manifest."""

    name: str
    sha256: str
    licence: str
    form: str
    "How the file is shipped: 'as it is', 'block-quantised', 'paddle detection', …"
    origin: str = ""
    package: str = ""
    file: str = ""
    "Path inside the package."
    path: str = ""
    "An operator's own file, instead of a package's."
    paddle_name: str = ""
    threshold: float | None = None
    "Cosine above which two faces are one person (face models only)."
    companion: str = ""
    "SHA-256 of the model this one was measured together with; with any other it is not used."
    share: float = 0.0
    "Its part, 0..1, in the likeness of the two together."
    use: str = "sight"
    "Who loads it: 'sight' the inference process, 'hearing' the listening process."
    rest: Mapping[str, str] = field(default_factory=dict)
    "Package to path of the files that follow ``file`` in a model shipped in parts."
    beside: Mapping[str, str] = field(default_factory=dict)
    "Name to SHA-256 of what a model in parts needs beside it, from its last part's folder."

    def source(self) -> Path:
        """Where the shipped file is."""
        return self.sources()[0]

    def sources(self) -> list[Path]:
        """The shipped file, or its parts in order; ``sha256`` is of all bytes in a row."""
        if self.path:
            return [self._own(Path(self.path))]
        parts = {self.package: self.file, **self.rest}
        return [self._inside(package) / file for package, file in parts.items()]

    def _own(self, path: Path) -> Path:
        """The operator's file; of a directory (a model pack) the file with the named SHA-256."""
        if not path.is_dir():
            return path
        for each in sorted(path.glob("*.onnx")):
            if _sha256(each) == self.sha256:
                return each
        raise ModelRefused(f"model {self.name}: no file in {path} is the one the manifest names")

    def _inside(self, package: str) -> Path:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelRefused(f"model {self.name}: package {package} is not installed")
        return Path(spec.submodule_search_locations[0])


@dataclass(frozen=True)
class Prepared:
    """Verified models, ready to load."""

    models: dict[str, Model]
    paths: dict[str, Path]
    "A file, or for the text models a directory."

    def sha256(self, *names: str) -> dict[str, str]:
        """Name to SHA-256 as shipped, for a Finding; all models when none is named."""
        return {name: self.models[name].sha256 for name in names or self.models}


def manifest(directory: Path | None = None) -> dict[str, Model]:
    """The shipped manifest, with the tables of an operator's own over it."""
    tables = tomllib.loads((Path(__file__).parent / "models.toml").read_text("utf-8"))
    own = directory / "models.toml" if directory else None
    if own and own.exists():
        for name, table in tomllib.loads(own.read_text("utf-8")).items():
            if name not in tables:
                raise ModelRefused(f"{own}: no model is called {name}")
            shipped = {k: v for k, v in tables[name].items() if k not in _NEVER_INHERITED}
            tables[name] = {**shipped, "form": "as it is", **table}
    try:
        return {name: Model(name=name, **table) for name, table in tables.items()}
    except TypeError as error:
        raise ModelRefused(f"{own}: {error}") from error


def prepare(directory: Path, use: str = "sight") -> Prepared:
    """Verify every model of this use and convert those that need it into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    noted = directory / _RECORDS[use]
    record = _read_record(noted)
    models = {name: each for name, each in manifest(directory).items() if each.use == use}
    paths: dict[str, Path] = {}
    for model in models.values():
        source = model.source()
        _verify(model)
        convert = _CONVERTERS[model.form]
        if convert is None:
            paths[model.name] = source
            continue
        target = directory / _target(model)
        made = record.get(model.name, {})
        if made.get("from") != model.sha256 or not _intact(directory, made.get("files", {})):
            files = convert(model, source, target)
            record[model.name] = {
                "from": model.sha256,
                "files": {str(f.relative_to(directory)): _sha256(f) for f in files},
            }
        paths[model.name] = target
    _write(noted, json.dumps({"recipe": _RECIPE, "models": record}, indent=1))
    return Prepared(models, paths)


def _target(model: Model) -> str:
    if model.form == "parts":
        return model.name
    return model.paddle_name or f"{model.name}.onnx"


def _verify(model: Model) -> None:
    digest = hashlib.sha256()
    for source in model.sources():
        if not source.is_file():
            raise ModelRefused(f"model {model.name}: {source} is missing")
        with source.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    if digest.hexdigest() != model.sha256:
        raise ModelRefused(f"model {model.name}: {source} is not the file the manifest names")


def _intact(directory: Path, files: dict[str, str]) -> bool:
    paths = {directory / name: sha256 for name, sha256 in files.items()}
    return bool(paths) and all(p.is_file() and _sha256(p) == h for p, h in paths.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_record(path: Path) -> dict[str, dict[str, Any]]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(record["models"]) if record.get("recipe") == _RECIPE else {}


def _write(path: Path, text: str) -> None:
    """Whole or not at all: two processes may prepare the same directory at once."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)


def _join(model: Model, source: Path, target: Path) -> list[Path]:
    """A folder with the parts in one file, ``model.bin``, and what is needed beside it."""
    target.mkdir(exist_ok=True)
    sources, whole = model.sources(), target / "model.bin"
    unfinished = target / f"model.{os.getpid()}"
    with unfinished.open("wb") as file:
        for part in sources:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, file, 1 << 20)
    unfinished.replace(whole)
    for name, sha256 in model.beside.items():
        near = sources[-1].with_name(name)
        if not near.is_file() or _sha256(near) != sha256:
            raise ModelRefused(f"model {model.name}: {near} is not the file the manifest names")
        _write(target / name, near.read_text("utf-8"))
    return [whole, *(target / name for name in model.beside)]


def _to_float(model: Model, source: Path, target: Path) -> list[Path]:
    """Block-quantised weights become float ones; runtimes refuse or crawl through the former."""
    import onnx

    proto = onnx.load(str(source))
    _fold_weights(proto.graph)
    _ease_slopes(proto.graph)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    onnx.save(proto, str(unfinished))
    unfinished.replace(target)
    return [target]


def _fold_weights(graph: Any) -> None:
    from onnx import numpy_helper

    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in list(graph.node):
        if not all(name in weights for name in node.input if name):
            continue
        arrays = [weights[name] for name in node.input if name]
        if node.op_type == "DequantizeLinear":
            weights[node.output[0]] = _dequantise(node, arrays)
        elif node.op_type == "Reshape":
            weights[node.output[0]] = arrays[0].reshape([int(side) for side in arrays[1]])
        else:
            continue
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items() if name in used
    )
    # SFace lists its weights among its inputs; a loader then asks its caller for them.
    asked = [each for each in graph.input if each.name in used - weights.keys()]
    del graph.input[:]
    graph.input.extend(asked)


def _ease_slopes(graph: Any) -> None:
    """PRelu with slopes up to 1 is max(x, slope · x), which the runtime does in half the time."""
    from onnx import helper, numpy_helper

    slopes = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "PRelu" and node.input[1] in slopes:
            if float(slopes[node.input[1]].max()) <= 1:
                scaled = f"{node.output[0]}_scaled"
                nodes.append(helper.make_node("Mul", list(node.input), [scaled]))
                node = helper.make_node("Max", [node.input[0], scaled], list(node.output))
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _dequantise(node: Any, arrays: list[Any]) -> Any:
    """(x - zero) * scale, the scales given for blocks along one axis (ONNX opset 21)."""
    import numpy as np

    x, scale = (np.asarray(each, np.float32) for each in arrays[:2])
    zero = np.asarray(arrays[2], np.float32) if len(arrays) > 2 else np.zeros_like(scale)
    attributes = {each.name: each.i for each in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if block:
        along = np.arange(x.shape[axis]) // block
        scale, zero = scale.take(along, axis), zero.take(along, axis)
    elif scale.ndim == 1:
        shape = [1] * x.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((x - zero) * scale).astype(np.float32)


def _from_dlib(model: Model, source: Path, target: Path) -> list[Path]:
    """dlib's own file becomes ONNX, so that its library is not needed."""
    from kyc import dlib_network

    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    dlib_network.convert(source, unfinished)
    unfinished.replace(target)
    return [target]


def _paddle_directory(
    preprocess: list[dict[str, Any]], postprocess: Callable[[Path], dict[str, Any]]
) -> Callable[[Model, Path, Path], list[Path]]:
    """PaddleOCR loads a directory: the ONNX file and a description we write ourselves."""

    def convert(model: Model, source: Path, target: Path) -> list[Path]:
        target.mkdir(exist_ok=True)
        weights, description = target / "inference.onnx", target / "inference.yml"
        unfinished = target / f"inference.{os.getpid()}"
        shutil.copyfile(source, unfinished)
        unfinished.replace(weights)
        decode = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}
        text = {
            "Global": {"model_name": model.paddle_name},
            "PreProcess": {"transform_ops": [decode, *preprocess]},
            "PostProcess": postprocess(source),
        }
        _write(description, json.dumps(text, ensure_ascii=False))  # JSON is YAML
        return [weights, description]

    return convert


def _characters(source: Path) -> dict[str, Any]:
    import onnx

    metadata = {p.key: p.value for p in onnx.load(str(source)).metadata_props}
    return {"name": "CTCLabelDecode", "character_dict": metadata["character"].split("\n")}


_detection = _paddle_directory(
    [
        {"DetLabelEncode": None},
        {"DetResizeForTest": {"resize_long": 960}},
        {
            "NormalizeImage": {
                "mean": [0.485, 0.456, 0.406],
                "order": "hwc",
                "scale": "1./255.",
                "std": [0.229, 0.224, 0.225],
            }
        },
        {"ToCHWImage": None},
        {"KeepKeys": {"keep_keys": ["image", "shape", "polys", "ignore_tags"]}},
    ],
    lambda source: {
        "name": "DBPostProcess",
        "thresh": 0.3,
        "box_thresh": 0.6,
        "max_candidates": 1000,
        "unclip_ratio": 1.5,
    },
)
_recognition = _paddle_directory(
    [
        {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
        {"RecResizeImg": {"image_shape": [3, 48, 320]}},
        {"KeepKeys": {"keep_keys": ["image", "label_ctc", "label_gtc", "length", "valid_ratio"]}},
    ],
    _characters,
)
_CONVERTERS: dict[str, Callable[[Model, Path, Path], list[Path]] | None] = {
    "as it is": None,
    "parts": _join,
    "block-quantised": _to_float,
    "dlib network": _from_dlib,
    "paddle detection": _detection,
    "paddle recognition": _recognition,
}
