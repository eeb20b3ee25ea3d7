"""Which embeddings a bundle's decoder can answer on: those of the same checkpoint, with the same tensors."""

from __future__ import annotations

from dataclasses import dataclass

from ..contract import TensorSpec
from ..errors import EmbeddingError
from .embedding_format import Embedding
from .picture_model import EncodedPicture


@dataclass(frozen=True)
class EmbeddingKey:
    """`model` is for messages; `tensors` are the image encoder's outputs."""

    model: str
    checkpoint_sha256: str
    tensors: tuple[TensorSpec, ...]

    def embedding(self, picture: EncodedPicture, picture_sha256: str | None = None) -> Embedding:
        """Return an encoded picture as it is stored."""
        features = {spec.name: picture.features[spec.name] for spec in self.tensors}
        return Embedding(self.model, self.checkpoint_sha256, picture.original_hw, features, picture_sha256)

    def picture(self, embedding: Embedding, name: str) -> EncodedPicture:
        """Return a stored picture, ready to be answered on; `name` is what messages call it.

        Raises:
            EmbeddingError: it is of another checkpoint, or its tensors are not this model's.
        """
        if embedding.checkpoint_sha256 != self.checkpoint_sha256:
            raise EmbeddingError(
                f"{name}: encoded by {embedding.model} of checkpoint {embedding.checkpoint_sha256[:12]}, this is "
                f"a bundle of {self.model} of {self.checkpoint_sha256[:12]}; "
                "open a bundle of those weights, or encode the picture again"
            )
        found = {feature: list(tensor.shape) for feature, tensor in embedding.features.items()}
        needed = {spec.name: list(spec.shape) for spec in self.tensors}
        if found != needed:
            raise EmbeddingError(f"{name}: holds {found}, {self.model} needs {needed}; encode the picture again")
        return EncodedPicture(embedding.original_hw, embedding.features)
