"""The tutorials' own data, and how a name is looked up.

Sizes and hashes: of CIFAR-10 as TensorFlow Datasets states them (url_checksums/cifar10.txt), of Microsoft's cats and
dogs as Hugging Face's Datasets states them (cats_vs_dogs/dataset_infos.json), each met again in a second, independent
project; of the sign digits taken from a copy of the photos themselves, because the host packs their archive anew and
so it has no lasting hash.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from graft.core.errors import BadInput
from graft.data.public.records import PublicData

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_RECORDS = (
    PublicData(
        name="sign_digits",
        title="Sign language digits",
        classes=tuple("0123456789"),
        photos=2062,
        recipes=("sign-digits-vgg16",),
        home="https://github.com/ardamavi/Sign-Language-Digits-Dataset",
        terms="Apache-2.0, copyright 2017 Arda Mavi; made by students of Ankara Ayrancı Anadolu High School",
        cite="A. Mavi: A New Dataset and Proposed Convolutional Neural Network Architecture for Classification of "
        "American Sign Language Digits, arXiv:2011.08927, 2020",
        shape="0/ … 9/",
        split="1712/300/50",
        url="https://codeload.github.com/ardamavi/Sign-Language-Digits-Dataset/zip/refs/heads/master",
        file="sign_digits.zip",
        layout="class_folders",
        documents=("LICENSE", "README.md"),
        contents_sha256="b46fd898b0feb9cd4ae3be37846a2ab109a10344aa8d15fb9c4eee9ff02b21fb",
        archive_bytes=64 << 20,
        folder_bytes=36 << 20,  # 24,241,777 bytes in 2,062 files
    ),
    PublicData(
        name="cats_and_dogs_small",
        title="Cats and dogs, the first 2,000 photos of each",
        classes=("cats", "dogs"),
        photos=4000,
        recipes=(
            *("scratch-cnn", "scratch-cnn-augmented", "features-vgg16"),
            *("features-vgg16-augmented", "finetune-vgg16-block5"),
        ),
        home="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        terms="non-commercial research only, not to be published again without Microsoft's permission (so Kaggle's "
        "rules for these photos); Microsoft's own licence, MSR-LA - 3467.docx, comes with them",
        cite="J. Elson, J. Douceur, J. Howell, J. Saul: Asirra: A CAPTCHA that Exploits Interest-Aligned Manual Image "
        "Categorization, CCS 2007",
        shape="train/ validation/ test/, in each cats/ dogs/",
        url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
        file="kagglecatsanddogs_5340.zip",
        layout="cats_and_dogs",
        documents=("MSR-LA - 3467.docx", "readme[1].txt"),
        sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        archive_bytes=824_887_076,
        folder_bytes=200 << 20,  # 25,000 photos are 825 MB
    ),
    PublicData(
        name="cifar10",
        title="CIFAR-10",
        classes=CIFAR_CLASSES,
        photos=50_000,
        recipes=("cifar10-efficientnetb0",),
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        terms="no licence is stated; its authors ask to cite their report",
        cite="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
        shape="train/ validation/ test/, in each airplane/ … truck/",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        file="cifar-10-binary.tar.gz",
        layout="cifar",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        archive_bytes=170_052_171,
        folder_bytes=300 << 20,  # a file of 3 kB takes a block or two
    ),
    PublicData(
        name="santa",
        title="Santa or not",
        classes=("not_santa", "santa"),
        photos=922,
        recipes=("santa-vgg19",),
        home="",
        terms="photos from the web with mixed rights; no lasting public home is known",
        shape="train/ validation/ test/, in each santa/ not_santa/ (271, 100 and 90 photos of each)",
    ),
)
_CATALOGUE: Mapping[str, PublicData] = MappingProxyType({record.name: record for record in _RECORDS})


def public_data() -> Mapping[str, PublicData]:
    """Every public data set by name."""
    return _CATALOGUE


def find_data(name: str) -> PublicData:
    """The record of one data set; `cats-and-dogs-small` is understood too. `BadInput` not_found names the nearest."""
    plain = name.lower().replace("-", "_")
    if plain in _CATALOGUE:
        return _CATALOGUE[plain]
    nearest = difflib.get_close_matches(plain, _CATALOGUE, n=1, cutoff=0.5)
    raise BadInput(
        f"The data must be one of {', '.join(_CATALOGUE)}, got {name[:80]!r}.",
        hint=f"Did you mean {nearest[0]}? See graft data list." if nearest else "See graft data list.",
        code="not_found",
    )
