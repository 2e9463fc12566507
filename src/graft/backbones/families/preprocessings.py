"""The ways the families' networks want their pixels, as published."""

from graft.backbones.records import Preprocessing

# Pixels from -1 to 1, red first (MobileNet, MobileNetV2).
SYMMETRIC = Preprocessing(scale=(1 / 127.5, 1 / 127.5, 1 / 127.5), offset=(-1.0, -1.0, -1.0))

# Blue first, the ImageNet mean of each channel subtracted, not scaled (VGG, ResNet: the habit of the Caffe framework).
CAFFE = Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68))

# Pixels from 0 to 255: the network scales them itself (EfficientNet, sprout).
UNCHANGED = Preprocessing()
