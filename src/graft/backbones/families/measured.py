"""Figures counted on the built networks: `python -m graft.backbones.measuring` prints them; contract tests count again.

Multiply-adds of one image of the record's own side, without the top; and the places where the network can be cut, with
as many tensors as its record says.
"""

from collections.abc import Mapping
from types import MappingProxyType

# name: (multiply-adds, cuts)
MEASURED: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "sprout": (295_043_072, 23),
        "mobilenet_0.25": (40_774_272, 86),
        "mobilenet_0.5": (148_985_088, 86),
        "mobilenet_0.75": (324_632_448, 86),
        "mobilenet_1.0": (567_716_352, 86),
        "mobilenet_v2_0.35": (58_005_808, 74),
        "mobilenet_v2_0.5": (95_851_840, 74),
        "mobilenet_v2_0.75": (207_789_792, 74),
        "mobilenet_v2_1.0": (299_494_272, 74),
        "mobilenet_v2_1.3": (507_710_560, 74),
        "mobilenet_v2_1.4": (580_403_824, 74),
        "mobilenet_v3_small_0.75": (41_932_976, 59),
        "mobilenet_v3_small_1.0": (54_896_576, 59),
        "mobilenet_v3_small_minimalistic_1.0": (50_674_624, 55),
        "mobilenet_v3_large_0.75": (152_359_024, 65),
        "mobilenet_v3_large_1.0": (214_080_960, 65),
        "mobilenet_v3_large_minimalistic_1.0": (206_627_904, 62),
        "vgg16": (15_346_630_656, 19),
        "vgg19": (19_508_428_800, 22),
        "resnet50": (3_855_925_248, 39),
        "resnet101": (7_568_146_432, 73),
        "resnet152": (11_280_367_616, 107),
        "resnet50_v2": (3_480_207_360, 31),
        "resnet101_v2": (7_192_428_544, 48),
        "resnet152_v2": (10_904_649_728, 65),
        "densenet121": (2_833_137_664, 79),
        "densenet169": (3_358_179_328, 103),
        "densenet201": (4_289_445_888, 119),
        "inception_v3": (5_711_168_096, 29),
        "inception_resnet_v2": (13_154_258_016, 103),
        "xception": (8_355_355_496, 25),
        "nasnet_mobile": (562_582_816, 33),
        "nasnet_large": (23_779_382_658, 47),
        "efficientnet_b0": (384_534_752, 83),
        "efficientnet_b1": (685_522_832, 90),
        "efficientnet_b2": (992_153_872, 90),
        "efficientnet_b3": (1_825_605_392, 93),
        "efficientnet_b4": (4_391_979_024, 99),
        "efficientnet_b5": (10_264_336_752, 106),
        "efficientnet_b6": (19_065_289_536, 112),
        "efficientnet_b7": (37_743_324_192, 122),
        "efficientnet_v2_b0": (716_806_176, 64),
        "efficientnet_v2_b1": (1_195_539_360, 70),
        "efficientnet_v2_b2": (1_696_134_832, 71),
        "efficientnet_v2_b3": (3_009_922_816, 75),
        "efficientnet_v2_s": (8_364_337_152, 80),
        "efficientnet_v2_m": (24_581_180_384, 105),
        "efficientnet_v2_l": (56_078_419_008, 127),
        "convnext_tiny": (4_454_763_264, 29),
        "convnext_small": (8_682_944_256, 47),
        "convnext_base": (15_353_705_472, 47),
        "convnext_large": (34_359_897_600, 47),
        "convnext_xlarge": (60_918_982_656, 47),
        "se_resnet50": (4_089_651_200, 39),
        "googlenet": (1_497_352_192, 24),
        "vit_b16": (17_563_060_224, 28),
        "alexnet": (655_566_528, 10),
        "lenet5": (405_600, 6),
        "convnet": (232_883_712, 9),
        "convnet_batch": (232_883_712, 17),
        "convnet_batch_renorm": (232_883_712, 17),
        "convnet_layer": (232_883_712, 17),
        "convnet_group": (232_883_712, 17),
        "convnet_instance": (232_883_712, 17),
        "convnet_weight": (232_883_712, 13),
    }
)
MULTIPLY_ADDS: Mapping[str, int] = MappingProxyType({name: figures[0] for name, figures in MEASURED.items()})
CUT_COUNTS: Mapping[str, int] = MappingProxyType({name: figures[1] for name, figures in MEASURED.items()})
