"""A family in a file of its own: a small convolutional image encoder in front of SAM's prompt encoder and decoder.

    conv_sam.py --target onnx --random-weights -o dist/

In the repository the imports are relative, the row lies in `models/catalog/`, and a line in `FAMILIES` and one in
`ROWS` take the place of what is below `__main__`.
"""

import sys
from dataclasses import dataclass, replace

from torch import Tensor, nn

from sam_export.cli import main
from sam_export.models import FAMILIES, VARIANTS, Component, Family, Variant
from sam_export.models.decoder_config import DecoderConfig
from sam_export.models.sam_family import SamModule, sam_components
from sam_export.models.sources import UrlSource
from sam_export.models.variants import SAM_MASK_RULE, SAM_PREPROCESSING


@dataclass(frozen=True)
class ConvConfig:
    """`widths`: the channels after each halving; the last is what the decoder takes."""

    image_size: int = 256
    widths: tuple[int, ...] = (32, 64, 128, 256)


class ConvEncoder(nn.Module):
    """Normalised picture [1, 3, S, S] -> image embeddings [1, widths[-1], S / 16, S / 16]."""

    def __init__(self, config: ConvConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *config.widths), config.widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GELU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(image)
        return embeddings


class ConvSam(SamModule):
    """Holds the weights under upstream's names: image_encoder, prompt_encoder, mask_decoder."""

    def __init__(self, variant: Variant) -> None:
        assert isinstance(variant.encoder, ConvConfig)
        super().__init__(ConvEncoder(variant.encoder), variant)


def components(module: nn.Module, variant: Variant) -> tuple[Component, Component]:
    """Return image encoder and mask decoder, ready to be traced."""
    assert isinstance(module, ConvSam)
    return sam_components(module, module.image_encoder, variant)


CONV_SAM = Variant(
    name="conv_sam",
    family="conv_sam",
    license="Apache-2.0",
    description="An example; nobody has trained it",
    source=UrlSource("https://example.org/conv_sam.pth"),
    parameters=4_450_000,
    encoder=ConvConfig(),
    decoder=DecoderConfig(embedding_size=16, frame_size=256),
    preprocessing=replace(SAM_PREPROCESSING, image_hw=(256, 256), prompt_frame_hw=(256, 256)),
    mask_rule=replace(SAM_MASK_RULE, mask_hw=(64, 64)),
)

if __name__ == "__main__":
    FAMILIES[CONV_SAM.family] = Family(ConvSam, components)
    VARIANTS[CONV_SAM.name] = CONV_SAM
    sys.exit(main([CONV_SAM.name, *sys.argv[1:]]))
