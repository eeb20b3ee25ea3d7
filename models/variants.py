"""What a checkpoint that can be exported by name is: sizes, contract, and where its weights come from.

The rows themselves are in `catalog/`, one file a family.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..contract import MaskRule, Normalisation, Preprocessing
from .decoder_config import DecoderConfig
from .sources import Source

NOT_VERIFIED = "not checked against an independent implementation"
SAM_MEAN_STD = Normalisation("mean_std", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))

# What Meta's SAM and all who kept its preprocessing do (segment-anything `utils/transforms.py`, `modeling/sam.py`).
SAM_PREPROCESSING = Preprocessing(
    image_hw=(1024, 1024),
    prompt_frame_hw=(1024, 1024),
    fit="letterbox",
    filter="pillow_bilinear",
    padding="mean",
    normalisation=SAM_MEAN_STD,
)
SAM_DECODER = DecoderConfig(embedding_size=64, frame_size=1024)
SAM_MASK_RULE = MaskRule(
    mask_hw=(256, 256),
    single_mask_token=0,
    multimask_tokens=(1, 2, 3),
    padding_point="without_box",
    threshold=0.0,
    prompts=("box", "point", "mask"),
)


@dataclass(frozen=True)
class Variant:
    """One checkpoint. `unused_keys`: prefixes of tensors that the file holds and segmentation does not need.

    `description` is one sentence for users: what the model is for. `parameters` counts what is exported.
    `license_terms`: what a licence asks for that a user must accept first, "non-commercial use only; ADDRESS" say.
    `verified_against`: the independent implementation that tests compare the family's modules with, "transformers
    SamModel" say; None where none can be had.
    `encoder`: sizes, of the type that the family's file asks for.
    """

    name: str
    family: str
    license: str
    description: str
    source: Source
    parameters: int
    encoder: object
    decoder: DecoderConfig
    preprocessing: Preprocessing
    mask_rule: MaskRule
    checkpoint_bytes: int | None = None
    checkpoint_sha256: str | None = None
    git_blob: str | None = None
    unused_keys: tuple[str, ...] = ()
    license_terms: str | None = None
    verified_against: str | None = None

    @property
    def architecture(self) -> tuple[object, ...]:
        """All that makes the graphs but for the weights: random weights of one seed give equal ones the same graphs."""
        return self.family, self.encoder, self.decoder, self.preprocessing, self.mask_rule

    @property
    def full_license(self) -> str:
        return self.license if self.license_terms is None else f"{self.license}: {self.license_terms}"
