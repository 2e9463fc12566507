"""Vision Transformer, ViT-B/16: patches of the image as tokens that look at each other."""

from graft.backbones.families.measured import CUT_COUNTS, MULTIPLY_ADDS
from graft.backbones.families.preprocessings import SYMMETRIC
from graft.backbones.families.publishing import published
from graft.backbones.records import BackboneRecord

NAME = "vit_b16"
SIDE_PIXELS = 224  # the only one: each patch has a position that was learned
PATCH_PIXELS = 16
BLOCKS = 12
HEADS = 12
WIDTH = 768
HIDDEN_WIDTH = 3072
REVISION = "3feba41e737e1b28af8e1fd7dca8eed073385972"  # of the repository of the weights
WEIGHTS_LICENCE = "Apache-2.0 (timm, vit_base_patch16_224.augreg2_in21k_ft_in1k)"

_TAPS = (*(f"block{block}_mlp_add" for block in range(1, BLOCKS + 1)), "encoder_norm")

RECORDS = (
    BackboneRecord(
        name=NAME,
        family="vit",
        title="ViT-B/16",
        constructor=NAME,
        side_pixels=SIDE_PIXELS,
        min_side_pixels=SIDE_PIXELS,
        max_side_pixels=SIDE_PIXELS,
        preprocessing=SYMMETRIC,
        parameters=85_798_656,
        parameters_with_top=86_567_656,
        width=WIDTH,
        taps=_TAPS,
        tap_widths=(2 * WIDTH,) * len(_TAPS),  # the mean of the patches' tokens, and the class token
        imagenet_top1=0.851,
        multiply_adds=MULTIPLY_ADDS.get(NAME),
        cut_count=CUT_COUNTS.get(NAME),
        licence=f"Apache-2.0 (code of Graft); weights {WEIGHTS_LICENCE}",
        paper="Dosovitskiy et al. 2020, An Image is Worth 16x16 Words, arXiv 2010.11929; weights of Steiner et al. "
        "2021, How to train your ViT?, arXiv 2106.10270",
        weights=published(
            f"https://huggingface.co/timm/vit_base_patch16_224.augreg2_in21k_ft_in1k/resolve/{REVISION}/",
            WEIGHTS_LICENCE,
            [("model.safetensors", "")],
        ),
    ),
)
