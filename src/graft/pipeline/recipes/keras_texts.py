"""The parts of a plain-Keras script that are the same for every recipe: reading photos, freezing, measuring."""

from typing import Final

IMPORTS: Final = """\
import argparse
from pathlib import Path

import keras
import numpy as np
"""

PHOTOS: Final = '''\
class Photos(keras.utils.PyDataset):
    """Photos in batches: read from their files, augmented where that is wanted, and prepared for the network."""

    def __init__(self, photos, shuffle=False, augment=False, steps=None):
        super().__init__()
        self.photos = photos  # pairs of a path and the number of its class
        self.shuffle, self.augment = shuffle, augment
        self.length = steps * BATCH if steps else len(photos)  # photos in an epoch
        self.random = np.random.default_rng(SEED)
        self.on_epoch_end()

    def __len__(self):
        return -(-self.length // BATCH)

    def on_epoch_end(self):
        """Draw the order of the next epoch; where it needs more photos than there are, they come again."""
        n = len(self.photos)
        rounds = range(-(-self.length // n))
        orders = [self.random.permutation(n) if self.shuffle else np.arange(n) for _ in rounds]
        self.order = np.concatenate(orders)[: self.length]

    def __getitem__(self, step):
        chosen = [self.photos[place] for place in self.order[step * BATCH : (step + 1) * BATCH]]
        images = np.stack([read(path) for path, _ in chosen])
        if self.augment:
            images = augmented(images, self.random)
        return prepared(images), np.array([label for _, label in chosen])


def read(path):
    """A photo as pixels 0 to 255: (SIDE, SIDE, 3)."""
    photo = keras.utils.load_img(path, target_size=(SIDE, SIDE), interpolation="bilinear")
    return keras.utils.img_to_array(photo, data_format="channels_last")
'''

SPLITS: Final = '''\
def listed(folder):
    """All photos in a folder of class folders, as pairs of a path and the number of the class."""
    classes = sorted(each for each in folder.iterdir() if each.is_dir())
    if len(classes) != CLASSES:
        raise SystemExit(f"{folder} must hold {CLASSES} class folders, found {len(classes)}.")
    return [
        (path, label)
        for label, folder in enumerate(classes)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]


def splits(data):
    """Training, validation and test photos: from folders of these names, or shuffled and cut by SPLIT."""
    if (data / "train").is_dir():
        validation = next((data / name for name in ("validation", "valid", "val") if (data / name).is_dir()), None)
        test = data / "test"
        held_out = listed(validation) if validation else listed(test)
        return listed(data / "train"), held_out, listed(test) if test.is_dir() else held_out
    photos = listed(data)
    order = np.random.default_rng(SEED).permutation(len(photos))
    ends = np.round(np.cumsum(SPLIT) / sum(SPLIT) * len(photos)).astype(int)
    return tuple([photos[place] for place in part] for part in np.split(order, ends[:2]))
'''

FREEZING: Final = '''\
def freeze(model, trained_layers, normalization):
    """Let the base's last so many layers be trained (None: all), and BatchNormalization only where it is wanted."""
    base = model.get_layer(BASE)
    first = 0 if trained_layers is None else len(base.layers) - trained_layers
    for place, layer in enumerate(base.layers):
        is_normalization = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = place >= first and (normalization or not is_normalization)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = normalization
'''

COUNTING: Final = '''\
def tell(model):
    """Say how many parameters will be trained."""
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    tensors = len(model.trainable_weights)
    print(f"{model.count_params():,} parameters, {trained:,} of them trained, in {tensors} tensors")
'''

FEATURES: Final = '''\
def features_of(base, photos, file):
    """What the base gives for each photo, computed once and kept in a file, and the photos' labels."""
    batches = Photos(photos)
    features = base.predict(batches)
    labels = np.array([label for _, label in photos])
    np.savez(file, features=features, labels=labels)
    return features, labels
'''

LIMITING: Final = '''\
def at_most(limit, number):
    """The smaller of two numbers, of which either may be None for as many as there are."""
    return min((each for each in (limit, number) if each), default=None)
'''

HEAD_ALONE: Final = '''\
def head_of(model):
    """The layers above the base as a network of their own; trained there, they are trained here."""
    inputs = x = keras.Input(model.get_layer(BASE).output.shape[1:])
    for layer in model.layers[2:]:  # behind the input and the base
        x = layer(x)
    return keras.Model(inputs, x)
'''
