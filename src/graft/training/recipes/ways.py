"""The four ways to reuse a pretrained network, each as one command.

As it is: the whole network names what is on a photo, one of ImageNet's 1,000 classes. As a feature extractor of its
own: one vector or map a photo, written to a file. As a frozen part of a new network. As the start of training.

In the first way a foreign preprocessing makes another animal of the published photo: preprocessing belongs to the
network's record and is never left to the user.
"""

from typing import Final

from graft.training.recipes.records import Way

WAYS: Final = (
    Way(
        name="classify",
        title="The network as it is",
        summary="A whole pretrained network names photos: the five likeliest of ImageNet's 1,000 classes.",
        lesson="A pretrained network answers at once, but only in its own classes and with its own preprocessing.",
        command="graft classify IMAGES --backbone vgg16",
        words=("classify",),
        published="a photo of a black bear: American_black_bear 0.60, brown_bear 0.15, sloth_bear 0.10, giant_panda "
        "0.007, lesser_panda 0.005; with a foreign preprocessing it becomes a brown bear",
    ),
    Way(
        name="feature-extractor",
        title="A feature extractor of its own",
        summary="One vector or map for each photo, from any depth, written to a file for other programs.",
        lesson="What a pretrained network sees serves any classifier, trained anywhere.",
        command="graft features DATA -o features.npz --backbone vgg16",
        words=("features",),
        recipe="features-vgg16",
    ),
    Way(
        name="frozen-extractor",
        title="A frozen part of a new network",
        summary="The pretrained base inside a new network, its weights frozen.",
        lesson="Inside the network photos can be augmented; frozen, the base keeps what it knows.",
        command="graft train DATA --recipe features-vgg16-augmented",
        words=("train", "--recipe", "features-vgg16-augmented"),
        recipe="features-vgg16-augmented",
    ),
    Way(
        name="weight-initialisation",
        title="The start of training",
        summary="The pretrained weights as initial ones, trained together with the new head at a low rate.",
        lesson="With enough photos, or photos unlike ImageNet's, the base itself is trained on.",
        command="graft train DATA --recipe finetune-vgg16-block5",
        words=("train", "--recipe", "finetune-vgg16-block5"),
        recipe="finetune-vgg16-block5",
    ),
)
