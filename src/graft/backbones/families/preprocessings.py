"""The ways the families' networks want their pixels, as published."""

from graft.backbones.records import Preprocessing

# Pixels from -1 to 1, red first (MobileNet, MobileNetV2, ResNetV2, Inception, Xception, NASNet).
SYMMETRIC = Preprocessing(scale=(1 / 127.5, 1 / 127.5, 1 / 127.5), offset=(-1.0, -1.0, -1.0))

# Blue first, the ImageNet mean of each channel subtracted, not scaled (VGG, ResNet: the habit of the Caffe framework).
CAFFE = Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68))

# Each channel with ImageNet's mean 0 and deviation 1, for pixels from 0 to 1 (DenseNet: the habit of Torch).
STANDARDISED = Preprocessing(
    scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
)

# Pixels from 0 to 1, the plain way of networks that learn from nothing (convnet).
SCALED_TO_ONE = Preprocessing(scale=(1 / 255, 1 / 255, 1 / 255))

# One channel; its darkest is -0.1 and its lightest 1.175, so that white digits on black have mean 0 and deviation 1, or
# nearly (LeNet-5, whose authors scaled ink and paper so).
GREY = Preprocessing(channel_order="grey", scale=(0.005, 0.005, 0.005), offset=(-0.1, -0.1, -0.1))

# Pixels from 0 to 255: the network scales them itself (EfficientNet, EfficientNetV2, MobileNetV3, ConvNeXt, sprout).
UNCHANGED = Preprocessing()
