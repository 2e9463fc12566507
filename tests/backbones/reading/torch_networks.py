"""The networks as their publishers write them in torch, with random weights: what the translation is held against.

Layers have the publishers' names (torchvision's AlexNet and GoogLeNet, timm's seresnet50 and vit_base_patch16_224);
what they compute is written from the papers and those names.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graft.backbones.families.googlenet import MODULES, Module


class AlexNet(nn.Module):
    """torchvision's names: layers of two sequences, counted with those that have no weights."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
            nn.Linear(4096, classes),
        )

    def maps(self, x: Tensor) -> Tensor:
        return self.features(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.maps(x).flatten(1))


class Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, inputs: int, module: Module) -> None:
        super().__init__()
        (second, third), (after_second, after_third) = module.squeezed, module.filtered
        self.branch1 = Unit(inputs, module.pointwise, 1)
        self.branch2 = nn.Sequential(Unit(inputs, second, 1), Unit(second, after_second, 3))
        self.branch3 = nn.Sequential(Unit(inputs, third, 1), Unit(third, after_third, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), Unit(inputs, module.pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    """A classifier that only training uses: it is in the published file and nowhere else."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = Unit(inputs, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)


class GoogLeNet(nn.Module):
    """torchvision's names; the pools' last windows may reach over the edge."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Unit(3, 64, 7, 2), Unit(64, 64, 1), Unit(64, 192, 3)
        inputs = 192
        for module in MODULES:
            self.add_module(module.name, Inception(inputs, module))
            inputs = module.channels
        self.aux1, self.aux2 = Auxiliary(512, classes), Auxiliary(528, classes)
        self.fc = nn.Linear(inputs, classes)

    def maps(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = self.conv3(self.conv2(x))
        for module in MODULES:
            if module.name.endswith("a"):
                x = functional.max_pool2d(x, 2 if module.name == "inception5a" else 3, 2, ceil_mode=True)
            x = self.get_submodule(module.name)(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean((2, 3)))


class Excitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.se = Excitation(channels)
        if inputs != channels:
            widening = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(widening, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.se(self.bn3(self.conv3(x))) + shortcut)


class SEResNet50(nn.Module):
    """timm's names."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, (count, channels) in enumerate(zip((3, 4, 6, 3), (256, 512, 1024, 2048), strict=True), 1):
            blocks = []
            for block in range(count):
                blocks.append(Bottleneck(inputs, channels, 2 if stage > 1 and block == 0 else 1))
                inputs = channels
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def maps(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        seen = torch.softmax(query @ key.transpose(-2, -1) / math.sqrt(width // self.heads), -1) @ value
        return self.proj(seen.transpose(1, 2).reshape(batch, tokens, width))


class Encoder(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class VisionTransformer(nn.Module):
    """timm's names."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        width = 768
        self.cls_token, self.pos_embed = (
            nn.Parameter(torch.zeros(1, 1, width)),
            nn.Parameter(torch.zeros(1, 197, width)),
        )
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 16, 16)})
        self.blocks = nn.Sequential(*(Encoder(width, 12) for _ in range(12)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)

    def maps(self, x: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.pos_embed
        return self.norm(self.blocks(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)[:, 0])


NETWORKS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"alexnet": AlexNet, "googlenet": GoogLeNet, "se_resnet50": SEResNet50, "vit_b16": VisionTransformer}
)


def torch_network(name: str, *, classes: int = 1000, seed: int = 0) -> Any:
    """The network, ready to compute, with a value that matters in every weight."""
    generator = torch.Generator().manual_seed(seed)
    model = NETWORKS[name](classes=classes).eval()
    with torch.no_grad():
        for key, values in model.state_dict().items():
            if key.endswith("running_var") or (values.ndim == 1 and key.endswith("weight")):
                values.uniform_(0.7, 1.3, generator=generator)
            elif values.ndim in (2, 4):
                values.normal_(0, math.sqrt(1.5 / values[0].numel()), generator=generator)
            elif values.is_floating_point():
                values.normal_(0, 0.1, generator=generator)
    return model


def computed(function: Callable[[Tensor], Tensor], pixels: Any) -> Any:
    """What torch makes of an array (batch, height, width, channel); maps come back with their channels last."""
    with torch.no_grad():
        result = function(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    return (result.permute(0, 2, 3, 1) if result.ndim == 4 else result).numpy()
