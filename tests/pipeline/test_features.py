"""Files of features: what is in them, from which photos, and what is refused before any work."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layers import Layer, LayerTable
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, load_into
from graft.core import machine
from graft.core.errors import BadInput, ResourceProblem
from graft.core.progress import SilentProgress
from graft.data.images import load_pixels
from graft.data.records import ImageRules
from graft.features.graphs import exact_forward
from graft.features.preprocessing import network_input
from graft.pipeline import layers
from graft.pipeline.feature_files import Layout
from graft.pipeline.features import extract_features
from graft.pipeline.options import FeatureOptions
from tests.pipeline.conftest import CLASSES, draw_photo, write_photos

SIDE = 64
BASE = {"backbone": "sprout", "image_size": SIDE, "precision": "float32"}


def extract(data: Path, output: Path, **changes):
    values = {"data": str(data), "output": str(output), **BASE} | changes
    return extract_features(FeatureOptions(**values), progress=SilentProgress())


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def by_keras(model, layer: str, pooling: str, data: Path, paths, record, side=SIDE) -> np.ndarray:
    """The same numbers from a Keras model, photos decoded one by one."""
    import keras

    tensor = model.get_layer(layer).output
    if pooling != "none":
        pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
        tensor = pool()(tensor)
    forward = exact_forward(keras.Model(model.input, keras.layers.Flatten()(tensor)), 1)
    geometry = record.preprocessing.geometry
    decoded = [
        load_pixels((data / path).read_bytes(), side_pixels=side, geometry=geometry, rules=ImageRules())
        for path in paths
    ]
    flat = [forward(network_input(pixels[None], record.preprocessing)) for pixels in decoded]
    return np.concatenate(flat).reshape(len(paths), *tensor.shape[1:])


def relative(values: np.ndarray, expected: np.ndarray) -> float:
    assert values.shape == expected.shape
    return float(np.abs(values - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def built():
    from graft.backbones.weights import builtin

    record = find("sprout")
    model = build(record, side_pixels=SIDE)
    load_into(model, builtin("sprout", machine.cache_directory()))
    return record, model


def test_labelled_photos_become_one_vector_each(photos, tmp_path, built):
    result = extract(photos, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    assert found["features"].shape == (60, 512) and found["features"].dtype == np.float32
    assert found["classes"].tolist() == list(CLASSES)
    assert [Path(path).parts[0] for path in found["paths"]] == found["labels"].tolist()
    assert [CLASSES[number] for number in found["label_indices"]] == found["labels"].tolist()
    assert {name: found["splits"].tolist().count(name) for name in ("train", "validation", "test")} == {
        "train": 42,
        "validation": 9,
        "test": 9,
    }
    assert all(len(digest) == 64 for digest in found["sha256"])
    about = json.loads(found["about"].item())
    assert about["backbone"] == "sprout" and about["layers"][0]["layer"] == "head_relu" and about["n"] == 60
    assert about == dict(result.about) and json.dumps(result.summary())
    record, model = built
    assert relative(found["features"], by_keras(model, "head_relu", "avg", photos, found["paths"], record)) < 1e-4


def test_splits_are_those_of_a_training(photos, finished, tmp_path):
    from graft.data.records import Manifest
    from graft.pipeline.run import Run

    extract(photos, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    trained = {photo.path: photo.split for photo in Run.open(finished.run).read(Manifest).photos}
    assert dict(zip(found["paths"].tolist(), found["splits"].tolist(), strict=True)) == trained


def test_splits_are_those_of_an_earlier_run_where_it_is_named(photos, finished, tmp_path):
    from graft.data.records import Manifest
    from graft.pipeline.run import Run

    changes = {"seed": 5, "split": "40/30/30", "duplicates": "exact"}
    extract(photos, tmp_path / "other.npz", **changes)
    extract(photos, tmp_path / "a.npz", split_from=str(finished.run), **changes)
    trained = [photo.split for photo in Run.open(finished.run).read(Manifest).photos]
    assert load(tmp_path / "a.npz")["splits"].tolist() == trained
    assert load(tmp_path / "other.npz")["splits"].tolist() != trained
    with pytest.raises(BadInput, match="--split-from needs photos in class folders"):
        extract(photos, tmp_path / "b.npz", split_from=str(finished.run), labels=False)


def test_copies_share_a_split_by_their_look_or_by_their_bytes(photos, tmp_path, monkeypatch):
    from graft.pipeline import features

    asked = []
    genuine = features.read_data
    monkeypatch.setattr(
        features, "read_data", lambda *a, **settings: asked.append(settings["duplicates"]) or genuine(*a, **settings)
    )
    extract(photos, tmp_path / "a.npz")
    extract(photos, tmp_path / "b.npz", duplicates="exact")
    assert asked == ["near", "exact"]


@pytest.mark.parametrize("pooling", ["max", pytest.param("none", marks=pytest.mark.slow)])
def test_two_depths_are_what_keras_computes(pooling, photos, tmp_path, built):
    names = ("s2_out", "s3_out")
    extract(photos / "checks", tmp_path / "a.npz", layers=names, pooling=pooling)
    found = load(tmp_path / "a.npz")
    record, model = built
    some = found["paths"][:4]
    for name in names:
        expected = by_keras(model, name, pooling, photos / "checks", some, record)
        assert relative(found[name][:4], expected) < 1e-4
        assert relative(found[name][1:5], expected) > 1e-2  # sabotage: the rows of other photos


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["avg", "max", "none"])
def test_published_weights_on_real_photos_are_what_keras_computes(pooling, shared, tmp_path):
    import keras

    weights = shared / "weights" / "mobilenet_0.25_224_notop.weights.h5"
    data = tmp_path / "photos"
    data.mkdir()
    for path in sorted((shared / "data" / "imagenet_sample").glob("*.JPEG"))[:6]:
        shutil.copy(path, data)
    names = ("conv_pw_6_relu", "conv_pw_13_relu")
    given = {"backbone": "mobilenet", "weights": str(weights), "image_size": 224}
    extract(data, tmp_path / "a.npz", layers=names, pooling=pooling, **given)
    found = load(tmp_path / "a.npz")
    model = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=str(weights), input_shape=(224, 224, 3))
    for name in names:
        expected = by_keras(model, name, pooling, data, found["paths"], find("mobilenet_0.25"), 224)
        assert relative(found[name], expected) < 1e-4


def test_all_depths(photos, tmp_path):
    extract(photos, tmp_path / "a.npz", taps=True, dtype="float16")
    found = load(tmp_path / "a.npz")
    record = find("sprout")
    widths = {name: found[name].shape[1] for name in record.taps}
    assert widths == dict(zip(record.taps, record.tap_widths, strict=True))
    assert {found[name].dtype for name in record.taps} == {np.dtype(np.float16)}


def test_a_second_run_reads_the_store_and_gives_the_same_bytes(photos, tmp_path):
    extract(photos, tmp_path / "a.npz", layers=("s2_out",), pooling="max")
    before = (tmp_path / "a.npz").read_bytes()
    again = extract(photos, tmp_path / "a.npz", layers=("s2_out",), pooling="max")
    assert (again.filled.computed, again.filled.reused) == (0, 60)
    assert (tmp_path / "a.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_photos_without_labels(tmp_path):
    data = tmp_path / "photos"
    (data / "2021" / "may").mkdir(parents=True)
    for number in range(3):
        draw_photo("checks", number).save(data / f"{number}.png")
        draw_photo("plain", number).save(data / "2021" / "may" / f"{number}.png")
    (data / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(BadInput, match=r"bad\.jpg"):
        extract(data, tmp_path / "a.npz")  # one of seven is more than the allowed share
    (data / "bad.jpg").unlink()
    extract(data, tmp_path / "a.npz")
    found = load(tmp_path / "a.npz")
    assert found["paths"].tolist() == ["0.png", "1.png", "2.png", *(f"2021/may/{n}.png" for n in range(3))]
    assert set(found["labels"]) == set(found["splits"]) == {""}
    assert found["label_indices"].tolist() == [-1] * 6 and found["classes"].shape == (0,)


def test_class_folders_can_be_read_without_labels(photos, tmp_path):
    extract(photos, tmp_path / "a.npz", labels=False)
    found = load(tmp_path / "a.npz")
    assert set(found["labels"]) == {""} and len(found["paths"]) == 60


def test_an_archive_of_photos(tmp_path):
    write_photos(tmp_path / "photos", 3)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted((tmp_path / "photos").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path))
    extract(tmp_path / "photos.zip", tmp_path / "zip.npz")
    extract(tmp_path / "photos", tmp_path / "folder.npz")
    assert (tmp_path / "zip.npz").read_bytes() == (tmp_path / "folder.npz").read_bytes()


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(BadInput) as caught:
        extract(tmp_path / "photos", tmp_path / "a.npz")
    assert caught.value.code == "no_photos"


@pytest.mark.parametrize(("pooling", "shape"), [("avg", [256]), ("none", [4, 4, 256])])
def test_parquet(pooling, shape, photos, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("graft.pipeline.feature_files.GROUP_BYTES", 1 << 16)
    result = extract(photos, tmp_path / "a.parquet", layers=("s3_out",), pooling=pooling)
    extract(photos, tmp_path / "a.npz", layers=("s3_out",), pooling=pooling)
    expected = load(tmp_path / "a.npz")
    table = pq.read_table(tmp_path / "a.parquet")
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups > 1 or pooling == "avg"
    assert table.column_names == ["paths", "labels", "label_indices", "splits", "sha256", "features"]
    for name in table.column_names[:-1]:
        assert table[name].to_pylist() == expected[name].tolist()
    rows = np.array(table["features"].to_pylist(), np.float32).reshape(60, *shape)
    assert (rows == expected["features"]).all()
    assert json.loads(table.schema.field("features").metadata[b"shape"]) == shape
    assert json.loads(table.schema.metadata[b"graft"])["backbone"] == "sprout"
    assert result.shapes == {"features": (60, *shape)}
    extract(photos, tmp_path / "a.parquet", layers=("s3_out",), pooling=pooling)  # the same again is no conflict


def test_parquet_without_pyarrow_says_what_to_type(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("graft.pipeline.feature_files.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pyarrow") as caught:
        extract(photos, tmp_path / "a.parquet")
    assert caught.value.code == "extra_missing" and "graft-vision[parquet]" in caught.value.hint


@pytest.fixture
def no_work(monkeypatch):
    """Fail where anything is computed."""
    monkeypatch.setattr("graft.pipeline.features.fill", None)
    monkeypatch.setattr("graft.pipeline.features.read_data", None)


@pytest.mark.parametrize("name", ["a.csv", "a", "a.npz.gz", "features"])
def test_other_endings_are_refused_at_once(name, photos, tmp_path, no_work):
    with pytest.raises(BadInput, match="must end in"):
        extract(photos, tmp_path / name)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_foreign_file_is_left_alone(suffix, photos, tmp_path, no_work):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"something of yours")
    with pytest.raises(BadInput) as caught:
        extract(photos, path)
    assert caught.value.code == "already_exists" and path.read_bytes() == b"something of yours"
    np.savez(tmp_path / "b.npz", features=np.zeros(3))
    with pytest.raises(BadInput, match="same features"):
        extract(photos, tmp_path / "b.npz")
    (tmp_path / "c.npz").mkdir()
    with pytest.raises(BadInput, match="same features"):
        extract(photos, tmp_path / "c.npz")


def test_other_features_are_left_alone(photos, tmp_path):
    extract(photos, tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    for changes in ({"dtype": "float16"}, {"layers": ("s3_out",)}, {"labels": False}, {"seed": 1}):
        with pytest.raises(BadInput) as caught:
            extract(photos, tmp_path / "a.npz", **changes)
        assert caught.value.code == "already_exists" and (tmp_path / "a.npz").read_bytes() == before


def test_a_folder_that_is_not_there_is_told_before_the_work(photos, tmp_path, no_work):
    with pytest.raises(BadInput, match="folder that exists"):
        extract(photos, tmp_path / "none" / "a.npz")


def test_an_error_on_the_way_leaves_no_file(photos, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise ResourceProblem("stopped")

    monkeypatch.setattr("graft.pipeline.features.fill", stop)
    with pytest.raises(ResourceProblem):
        extract(photos, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"layers": ("s3_uot",)}, "must be one of sprout's, got 's3_uot'. Nearest: s3_out"),
        ({"layers": ("input",)}, "one that computes"),
        ({"layers": ("s3_out",), "taps": True}, "in one way, got --layer and --taps"),
        ({"taps": True, "drop_last": 0}, "in one way, got --taps and --drop-last"),
        ({"drop_last": 999}, "must leave a layer above the input"),
    ],
)
def test_layers_that_cannot_be_read(changes, problem, photos, tmp_path, no_work):
    with pytest.raises(BadInput) as caught:
        extract(photos, tmp_path / "a.npz", **changes)
    assert problem in str(caught.value)


VGG16 = (
    *(("input", "InputLayer", (224, 224, 3)), ("block5_conv3", "Conv2D", (14, 14, 512))),
    *(("block5_pool", "MaxPooling2D", (7, 7, 512)), ("flatten_n1", "Flatten", (25088,))),
    *(("fc1", "Dense", (4096,)), ("fc2", "Dense", (4096,)), ("predictions", "Dense", (1000,))),
)


@pytest.fixture
def short_table(monkeypatch):
    """The ends of VGG16: building the whole of it takes seconds."""
    rows = tuple(
        Layer(number=number, name=name, kind=kind, shape=shape, parameters=0, trainable_parameters=0, top=number > 2)
        for number, (name, kind, shape) in enumerate(VGG16)
    )
    table = LayerTable(backbone="vgg16", side_pixels=224, layers=rows, cuts=())
    monkeypatch.setattr(layers, "layer_table", lambda *_: table)


@pytest.mark.slow
def test_the_short_table_of_vgg16_is_true():
    table = layers.list_layers("vgg16", None, None)
    assert len(table.layers) == 23
    for name, kind, shape in VGG16:
        layer = table.find(name)
        assert (layer.kind, layer.shape, layer.top) == (kind, shape, len(shape) == 1)


def chosen(monkeypatch, name: str, *, top: bool, **changes) -> layers.Reading:
    """What would be read of a network whose weights are here, with or without its top."""
    own = WeightsFile(Path("w"), "", "a" * 64, WeightsFile(Path("t"), "", "b" * 64) if top else None)
    pair = layers.choose_backbone("sprout", None)
    monkeypatch.setattr(layers, "choose_backbone", lambda *_: replace(pair, record=find(name), weights=own))
    return layers.resolve_reading(FeatureOptions(data="d", output="a.npz", backbone=name, **changes))


def test_dropping_layers_counts_the_top_s_where_there_is_one(short_table, monkeypatch):
    assert chosen(monkeypatch, "vgg16", top=False, drop_last=1).layers[0].name == "block5_conv3"
    with_top = chosen(monkeypatch, "vgg16", top=True, drop_last=1)
    assert with_top.layers[0].name == "fc2" and with_top.layers[0].shape == (4096,)
    assert with_top.program.top_sha256 == "b" * 64
    assert chosen(monkeypatch, "vgg16", top=True, drop_last=0).layers[0].name == "predictions"
    plain = chosen(monkeypatch, "vgg16", top=True)
    assert plain.layers[0].name == "block5_pool" and plain.program.top_sha256 == ""


def test_a_layer_of_a_top_that_is_not_here_is_told(short_table, monkeypatch):
    with pytest.raises(BadInput, match="belongs to the classifier of VGG16") as caught:
        chosen(monkeypatch, "vgg16", top=False, layers=("fc1",))
    assert caught.value.code == "weights_missing" and "vgg16_weights_tf_dim_ordering_tf_kernels.h5" in caught.value.hint


def test_a_top_that_flattens_fits_one_side(short_table, monkeypatch):
    with pytest.raises(BadInput, match="224 px"):
        chosen(monkeypatch, "vgg16", top=True, layers=("fc1",), image_size=150)


def test_pooling_is_nothing_to_a_vector(short_table, monkeypatch):
    names = [
        chosen(monkeypatch, "vgg16", top=True, layers=("fc1",), pooling=pooling).program.outputs[0].name
        for pooling in ("avg", "max", "none")
    ]
    assert names == ["fc1:avg"] * 3


def test_float16_keeps_its_range():
    layout = Layout({}, 1, "float16")
    assert layout.cast(np.array([1e6, -1e6, 0.5], np.float32)).tolist() == [65504.0, -65504.0, 0.5]


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_maps(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from tests.pipeline.test_features import *; from tests.memory import peak_memory_bytes\n"
        "extract(Path(sys.argv[1]), Path(sys.argv[2]), layers=('s1_out',), pooling='none')\n"
        "print(peak_memory_bytes())"
    )
    peaks = []
    for count in (20, 700):
        data = write_photos(tmp_path / str(count), count)
        command = [sys.executable, "-c", code, str(data), str(tmp_path / f"{count}.npz")]
        root = Path(__file__).parents[2]
        ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        peaks.append(int(ended.stdout.split()[-1]))
    large = (tmp_path / "700.npz").stat().st_size
    assert large > 100 << 20 and peaks[1] - peaks[0] < 100 << 20
