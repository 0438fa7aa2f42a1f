"""Models are loaded only when they are the ones the manifest names."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kyc import models
from kyc.models import ModelRefused, manifest, prepare


def test_every_model_states_its_origin_and_licence() -> None:
    for model in manifest().values():
        assert model.licence in ("MIT", "Apache-2.0", "CC0-1.0")
        assert model.origin
        assert len(model.sha256) == 64


def test_preparing_twice_changes_nothing(models_dir: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in models_dir.rglob("*.onnx")}
    prepare(models_dir)
    assert {path: path.stat().st_mtime_ns for path in models_dir.rglob("*.onnx")} == before


def test_a_changed_cache_is_made_anew(models_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(models_dir, tmp_path / "models")
    target = tmp_path / "models" / "face_detection.onnx"
    good = target.read_bytes()
    target.write_bytes(good[:-1] + b"\x00")
    prepare(tmp_path / "models")
    assert target.read_bytes() == good


def test_another_file_than_the_named_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shipped = manifest()
    wrong = replace(shipped["face_detection"], sha256="0" * 64)
    monkeypatch.setattr(models, "manifest", lambda _: {**shipped, "face_detection": wrong})
    with pytest.raises(ModelRefused, match="not the file the manifest names"):
        prepare(tmp_path)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = manifest()
    absent = replace(shipped["face_detection"], package="no_such_package")
    monkeypatch.setattr(models, "manifest", lambda _: {**shipped, "face_detection": absent})
    with pytest.raises(ModelRefused, match="no_such_package is not installed"):
        prepare(tmp_path)


def test_an_operators_own_file_is_used_and_verified(models_dir: Path, tmp_path: Path) -> None:
    own = tmp_path / "licensed.onnx"
    shutil.copyfile(models_dir / "face_embedding.onnx", own)
    sha256 = models._sha256(own)
    table = f'[face_embedding]\npath = "{own}"\nsha256 = "{sha256}"\nlicence = "ours"\n'
    directory = tmp_path / "models"
    directory.mkdir()
    (directory / "models.toml").write_text(table + "threshold = 0.5\n", "utf-8")
    prepared = prepare(directory)
    assert prepared.paths["face_embedding"] == own
    assert prepared.models["face_embedding"].threshold == 0.5
    own.write_bytes(own.read_bytes() + b"x")
    with pytest.raises(ModelRefused):
        prepare(directory)


def test_a_licensed_pack_takes_the_place_of_both_networks(
    models_dir: Path, tmp_path: Path
) -> None:
    from kyc.face import FaceEncoder
    from kyc.fused import FusedEncoder

    pack = tmp_path / "pack"
    pack.mkdir()
    shutil.copyfile(models_dir / "face_embedding.onnx", pack / "recognition.onnx")
    shutil.copyfile(models_dir / "face_detection.onnx", pack / "detection.onnx")
    directory = tmp_path / "models"
    directory.mkdir()

    def configure(sha256: str, threshold: str) -> None:
        table = f'[face_embedding]\npath = "{pack}"\nsha256 = "{sha256}"\nlicence = "licensed"\n'
        (directory / "models.toml").write_text(table + threshold, "utf-8")

    configure(models._sha256(pack / "recognition.onnx"), "threshold = 0.5\n")
    prepared = prepare(directory)
    assert prepared.paths["face_embedding"] == pack / "recognition.onnx"
    quick = FaceEncoder(prepared)
    full = FusedEncoder(prepared, quick)
    assert (quick.threshold, full.threshold) == (0.5, 0.5)
    assert full.models.keys() == {"face_detection", "face_embedding"}
    configure(models._sha256(pack / "recognition.onnx"), "")
    with pytest.raises(ModelRefused, match="threshold"):
        FaceEncoder(prepare(directory))
    configure(models._sha256(pack / "detection.onnx"), "threshold = 0.5\n")
    with pytest.raises(ModelRefused, match="no face description network"):
        FaceEncoder(prepare(directory))
    configure("0" * 64, "threshold = 0.5\n")
    with pytest.raises(ModelRefused, match="no file in"):
        prepare(directory)


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[face_embedding]\nfolder = "x"\n', "utf-8")
    with pytest.raises(ModelRefused, match="folder"):
        manifest(tmp_path)


def test_a_threshold_is_not_inherited_by_another_model(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[face_embedding]\npath = "x"\nsha256 = "y"\n', "utf-8")
    assert manifest(tmp_path)["face_embedding"].threshold is None


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[face_embeding]\npath = "x"\n', "utf-8")
    with pytest.raises(ModelRefused, match="face_embeding"):
        manifest(tmp_path)


def test_blocks_share_a_scale_along_one_axis() -> None:
    from onnx import helper

    node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=1, block_size=2)
    x = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], np.int8)
    scale = np.array([[1, 10, 100], [2, 20, 200]], np.float32)
    zero = np.array([[0, 1, 0], [0, 0, 2]], np.int8)
    expected = [[1, 2, 20, 30, 500], [12, 14, 160, 180, 1600]]
    assert models._dequantise(node, [x, scale, zero]).tolist() == expected
