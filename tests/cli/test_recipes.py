"""`graft recipes`: what it passes on, what it says, what it refuses."""

import json

import pytest

from graft.cli import recipes
from graft.cli.main import main
from graft.training.recipes.catalogue import catalogue, find, ways


@pytest.fixture
def asked(pipeline):
    """Stand-ins that note how they were called."""
    calls: list[tuple[str, object]] = []

    def view(name, **on):
        calls.append((name, on))
        return find(name)

    def script(name, **on):
        calls.append((name, on))
        return "import keras\n"

    pipeline(
        "recipes.showing",
        listed=lambda: "all of them",
        view=view,
        shown=lambda seen, *, every=False: f"{seen.name} {every}",
        script=script,
        write_script=lambda path, text: calls.append((str(path), text)),
        way=lambda name: ways().get(name),
        way_shown=lambda way: way.title,
    )
    return calls


def test_list(asked, capsys):
    assert main(["recipes", "list"]) == 0
    out = capsys.readouterr().out
    assert "all of them" in out and "Next: graft recipes show NAME" in out


def test_list_for_programs(capsys):
    assert main(["recipes", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found["recipes"]] == list(catalogue())
    assert [each["name"] for each in found["ways"]] == list(ways())


def test_show(asked, capsys):
    words = ["--backbone", "mobilenet_0.25", "--image-size", "96", "--classes", "5", "--binary-head", "softmax"]
    assert main(["recipes", "show", "santa-vgg19", *words, "--all"]) == 0
    on = {"backbone": "mobilenet_0.25", "image_size": 96, "classes": 5, "binary_head": "softmax"}
    assert asked == [("santa-vgg19", on)]
    out = capsys.readouterr().out
    assert "santa-vgg19 True" in out and "graft recipes run santa-vgg19 DATA" in out


def test_show_for_programs(asked, capsys):
    assert main(["recipes", "show", "santa-vgg19", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "santa-vgg19"
    assert asked == [("santa-vgg19", {})]


def test_a_way_is_shown_as_its_command(asked, capsys):
    assert main(["recipes", "show", "classify"]) == 0
    assert "graft classify IMAGES" in capsys.readouterr().out
    assert main(["recipes", "show", "classify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == ways()["classify"].command


def test_a_script_goes_to_the_screen_or_to_a_file(asked, capsys):
    assert main(["recipes", "show", "santa-vgg19", "--as-keras"]) == 0
    assert capsys.readouterr().out == "import keras\n"
    assert main(["recipes", "show", "santa-vgg19", "--as-keras", "-o", "santa.py"]) == 0
    assert asked[-1] == ("santa.py", "import keras\n")
    assert "python santa.py DATA" in capsys.readouterr().out
    assert main(["recipes", "show", "santa-vgg19", "--as-keras", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"recipe": "santa-vgg19", "script": "import keras\n", "file": None}


def test_run_is_a_training(monkeypatch, capsys):
    from graft.cli import train

    seen = []
    monkeypatch.setattr(train, "run", lambda arguments, console: seen.append(arguments) or 0)
    words = ["photos", "--backbone", "mobilenet_1.0", "--epochs", "3", "-o", "out"]
    assert main(["recipes", "run", "Santa_VGG19@published", *words]) == 0
    (arguments,) = seen
    assert (arguments.recipe, arguments.data) == ("santa-vgg19", "photos")
    assert (arguments.backbone, arguments.epochs, arguments.output) == ("mobilenet_1.0", 3, "out")


def test_what_is_said_of_the_training_is_shown(asked, capsys):
    words = ["--epochs", "3,4", "--backbone", "mobilenet", "--weights", "a.h5", "--head", "flatten", "--classes", "5"]
    assert main(["recipes", "show", "santa-vgg19", *words, "--json"]) == 0
    said = {"epochs": (3, 4), "backbone": "mobilenet", "weights": "a.h5", "head": "flatten", "classes": 5}
    assert asked == [("santa-vgg19", said)]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["run", "classify", "photos", "--top", "3"], ["classify", "photos", "--top", "3"]),
        (["--json", "run", "--quiet", "Feature_Extractor", "p", "-o", "f.npz"], None),
        (["run", "frozen-extractor", "p"], ["train", "p", "--recipe", "features-vgg16-augmented"]),
        (["run", "weight-initialisation", "p"], ["train", "p", "--recipe", "finetune-vgg16-block5"]),
        (["show", "classify", "-o", "run"], []),
        (["run", "scratch-cnn", "photos"], []),
        (["run", "scratch-cnn", "photos", "-o", "classify"], []),
        (["run", "--seed", "1", "classify", "photos"], ["classify", "--seed", "1", "photos"]),
        (["run"], []),
        ([], []),
    ],
)
def test_a_way_is_run_as_its_command(words, meant):
    expected = ["features", "--json", "--quiet", "p", "-o", "f.npz"] if meant is None else meant
    assert recipes.in_other_words(words) == expected


def test_a_way_is_run_by_the_command_it_stands_for(monkeypatch):
    from graft.cli import classify

    seen = []
    monkeypatch.setattr(classify, "run", lambda arguments, console: seen.append(arguments) or 0)
    assert main(["recipes", "run", "classify", "photos", "--top", "3"]) == 0
    assert (seen[0].photos, seen[0].top) == (["photos"], 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "must be given"),
        (["shwo"], "must be one of list, show, run"),
        (["list", "scratch-cnn"], "Nothing may follow list"),
        (["list", "--seed", "1"], "--seed belongs to graft recipes run, got list."),
        (["list", "--classes", "3"], "--classes belongs to graft recipes show, got list."),
        (["show"], "One NAME must be given, got 0."),
        (["show", "a", "b"], "One NAME must be given, got 2."),
        (["show", "scratch-cn"], "Nearest: scratch-cnn"),
        (["show", "scratch-cnn", "--seed", "1"], "--seed belongs to graft recipes run, got show."),
        (["show", "classify", "--as-keras"], "is shown by its name alone, got --as-keras."),
        (["show", "classify", "--backbone", "vgg16"], "is shown by its name alone, got --backbone."),
        (["show", "scratch-cnn", "-o", "x.py"], "--output belongs to graft recipes show --as-keras"),
        (["show", "scratch-cnn", "--classes", "1"], "--classes must be a whole number of at least 2"),
        (["run"], "NAME and DATA must be given."),
        (["run", "scratch-cnn"], "graft data list tells of its own photos"),
        (["run", "classify", "photos", "--epochs", "3"], "graft classify has no option --epochs"),
        (["run", "scratch-cnn", "photos", "--classes", "2"], "--classes means nothing to graft recipes run."),
        (["run", "scratch-cnn", "photos", "--recipe", "probe"], "--recipe means nothing to graft recipes run."),
    ],
)
def test_refusals(words, message, capsys):
    assert main(["recipes", *words]) == 2
    assert message in capsys.readouterr().err
