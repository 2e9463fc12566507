"""`graft features`: what it passes on, what it says, and what it asks for."""

import json
from argparse import Namespace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from graft.backbones.layers import Layer, LayerTable
from graft.cli import features as command
from graft.cli.main import main
from graft.data.records import ImageRules, Quarantined
from graft.features.extraction import Filled
from graft.pipeline.features import FeaturesResult, Listing
from graft.pipeline.options import FeatureOptions

ABOUT = {
    "backbone": "sprout",
    "side_pixels": 64,
    "precision": "float32",
    "dtype": "float16",
    "layers": [{"layer": "s3_out", "pooling": "none"}],
}


@pytest.fixture
def extracted(pipeline, tmp_path):
    """Notes the options of each call."""
    seen: list[FeatureOptions] = []

    def extract_features(options, *, progress, tell):
        seen.append(options)
        file = tmp_path / Path(options.output).name
        file.write_bytes(b"0" * 8_400_000)
        bad = (Quarantined(path="bad.jpg", code="truncated", reason="it ends early"),)
        listing = Listing(
            tmp_path, (None,) * 3, ("a", "b", "b"), ("train",) * 2 + ("test",), ("a", "b"), bad, ImageRules()
        )
        filled = Filled(2, 1, ("A stored shard was damaged.",))
        return FeaturesResult(file, ABOUT, {"features": (3, 4, 4, 256)}, listing, filled)

    pipeline("features", extract_features=extract_features)
    return seen


def test_it_passes_on_what_was_typed(extracted):
    words = (
        "--backbone vgg16 --weights w.h5 --image-size 100 --layer a --layer b --pooling max --seed 3 --dtype float16"
    )
    assert (
        main(["features", "photos", "-o", "f.npz", *words.split(), "--precision", "float32", "--on-bad", "fail"]) == 0
    )
    assert main(["features", "photos", "-o", "f.npz", "--drop-last", "1", "--no-labels", "--split", "1/0/0"]) == 0
    assert main(["features", "photos", "-o", "f.npz", "--taps"]) == 0
    words = "--split-from run --duplicates exact --max-megapixels 60 --max-megabytes 30 --min-side 4 --white 4095"
    assert main(["features", "photos", "-o", "f.npz", *words.split()]) == 0
    common = {"data": "photos", "output": "f.npz"}
    assert extracted == [
        FeatureOptions(
            **common,
            backbone="vgg16",
            weights="w.h5",
            image_size=100,
            layers=("a", "b"),
            pooling="max",
            seed=3,
            dtype="float16",
            precision="float32",
            on_bad="fail",
        ),
        FeatureOptions(**common, drop_last=1, labels=False, split="1/0/0"),
        FeatureOptions(**common, taps=True),
        FeatureOptions(
            **common,
            split_from="run",
            duplicates="exact",
            max_megapixels=60.0,
            max_megabytes=30.0,
            min_side=4,
            white=4095,
        ),
    ]


def test_it_says_what_is_in_the_file(extracted, capsys):
    assert main(["features", "photos", "-o", "f.npz"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("3 photos in 2 classes → ") and "f.npz (8.4 MB)\n" in out
    assert "splits: 2 train, 1 test" in out and "sprout at 64 px, computed in float32" in out
    assert "features  3 × 4 × 4 × 256 float16  s3_out  none" in out
    assert "A stored shard was damaged." in out and "numpy.load(" in out
    assert err == "1 file could not be used and was left out: bad.jpg (truncated).\n"
    assert main(["features", "photos", "-o", "f.parquet"]) == 0
    assert "read_table(" in capsys.readouterr().out
    assert main(["features", "photos", "-o", "f.npz", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["n"], value["computed"], value["arrays"]) == (3, 2, {"features": [3, 4, 4, 256]})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "DATA must be given."),
        (["photos"], "-o FILE must be given."),
        (["--list-layers"], "--backbone NAME must be given."),
        (["photos", "-o", "f.npz", "--pooling", "mean"], "--pooling must be one of avg, max, none, got 'mean'."),
        (["photos", "-o", "f.npz", "--drop-last", "-1"], "--drop-last must"),
        (["photos", "-o", "f.csv"], "FILE must end in .npz or .parquet"),
    ],
)
def test_refusals(words, message, capsys):
    assert main(["features", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_layers_are_listed(pipeline, capsys):
    rows = (
        Layer(number=0, name="input", kind="InputLayer", shape=(64, 64, 3), parameters=0, trainable_parameters=0),
        Layer(number=1, name="conv", kind="Conv2D", shape=(32, 32, 8), parameters=1216, trainable_parameters=1216),
        Layer(
            number=2,
            name="predictions",
            kind="Dense",
            shape=(1000,),
            parameters=9000,
            trainable_parameters=9000,
            top=True,
        ),
    )
    seen = []

    def list_layers(backbone, weights, image_size):
        seen.append((backbone, weights, image_size))
        return LayerTable(backbone="small", side_pixels=64, layers=rows, cuts=())

    pipeline("layers", list_layers=list_layers)
    assert main(["features", "--list-layers", "--backbone", "small", "--image-size", "64"]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines() if line.endswith("top")] == [
        ["2", "predictions", "Dense", "1000", "9,000", "top"]
    ]
    assert "--layer conv" in out
    assert main(["features", "--list-layers", "--backbone", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][1]["shape"] == [32, 32, 8]
    assert seen == [("small", None, 64), ("small", None, None)]


def test_each_choice_is_the_record_s():
    hints = get_type_hints(FeatureOptions)
    for name, words in (("pooling", command.POOLINGS), ("dtype", command.DTYPES), ("precision", command.PRECISIONS)):
        assert set(words) == set(get_args(hints[name]))
    assert set(command.FIELDS) == set(hints) - {"SCHEMA"}
    typed = command.parser().parse_args(["d", "-o", "f.npz", "--taps"])
    assert isinstance(typed, Namespace) and not hasattr(typed, "list_layers")
