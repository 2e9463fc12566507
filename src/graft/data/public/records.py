"""One typed record for each public data set: what it is, whose, where it is published, and by what it is recognised."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from graft.core.records import record


@record
class PublicData:
    """A tutorial's own data, as a user may name it.

    It is recognised by the hash of its archive, or where archives are packed anew for each visitor by that of the
    photos in it; one of them is stated wherever there is an address.
    """

    SCHEMA: ClassVar[str] = "graft/public-data/1"
    name: str
    title: str
    classes: tuple[str, ...]
    photos: Annotated[int, Ge(1)]
    recipes: tuple[str, ...]  # the reference recipes that were first trained on it
    home: str  # a page for people
    terms: str  # in one sentence for people
    cite: str = ""
    shape: str  # of the folder that it becomes
    split: str = ""  # as for `graft train --split`, where the published folder is not divided and the tutorial does it
    url: str = ""  # empty: nobody publishes it where it could be fetched
    file: str = ""  # the archive's name on this machine; its ending says the kind
    layout: Literal["class_folders", "cats_and_dogs", "cifar", ""] = ""
    documents: tuple[str, ...] = ()  # of the archive, kept beside the photos: the publisher's own words
    sha256: str = ""  # of the archive
    contents_sha256: str = ""  # of the canonical JSON {path: SHA-256} of all photos, paths as in the folder
    archive_bytes: int = 0  # exactly, where `sha256` is known; else more than it can be
    folder_bytes: int = 0  # what the photos take on a disk, at most


@record
class PublicFolder:
    """What was put into a folder; stands in it, so that a later call finds it whole."""

    SCHEMA: ClassVar[str] = "graft/public-folder/1"
    name: str
    url: str
    photos: int
    archive_sha256: str
    contents_sha256: str
