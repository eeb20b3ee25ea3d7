"""From the bytes of a picture to an encoded one: decoded in threads, encoded in turn, kept by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from ..runtimes import EncodedPicture, Segmenter, read_image
from ..runtimes.embedding_format import encode_embedding
from ..runtimes.embedding_tensors import EmbeddingDtype
from ..runtimes.preprocess import PreparedImage
from .byte_cache import ByteCache
from .problems import Problem
from .readers import Readers
from .shared_work import SharedWork
from .work_queue import WorkQueue


@dataclass(frozen=True, eq=False)
class FoundPicture:
    """An encoded picture. `id` is the sha256 of the bytes that it came in; `kept`: it was encoded earlier."""

    id: str
    picture: EncodedPicture
    kept: bool


class Pictures:
    """Encodes each picture once. Belongs to one event loop.

    Args:
        segmenter: prepares pictures and knows the embedding's key; encoding itself is the queue's.
        readers: threads that decode files and pack embeddings.
        found: told of every look-up whether the picture was there.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        queue: WorkQueue[PreparedImage, EncodedPicture],
        readers: Readers,
        cache: ByteCache[EncodedPicture],
        *,
        max_pixels: int,
        found: Callable[[bool], None] = lambda _found: None,
    ) -> None:
        self._segmenter = segmenter
        self._queue = queue
        self._readers = readers
        self._cache = cache
        self._max_pixels = max_pixels
        self._found = found
        self._under_way = SharedWork[EncodedPicture]()

    def kept(self, picture_id: str) -> FoundPicture:
        """Return a picture that was encoded earlier.

        Raises:
            Problem: 404, it is not kept, or not any more.
        """
        picture = self._cache.get(picture_id)
        self._found(picture is not None)
        if picture is None:
            raise Problem(404, "embedding_unknown", f"embedding {picture_id}: not kept here; send the picture again")
        return FoundPicture(picture_id, picture, kept=True)

    async def encoded(self, data: bytes) -> FoundPicture:
        """Return the picture encoded, from the bytes of its file.

        Raises:
            ImageError: it cannot be read or used.
            Problem: 429, too many wait already.
        """
        picture_id = await self._readers.run(_sha256, data)
        kept = self._cache.get(picture_id)
        self._found(kept is not None)
        if kept is not None:
            return FoundPicture(picture_id, kept, kept=True)
        picture = await self._under_way.result(picture_id, lambda: self._encode(picture_id, data))
        return FoundPicture(picture_id, picture, kept=False)

    async def packed(self, found: FoundPicture, dtype: EmbeddingDtype) -> bytes:
        """Return the picture as a `.semb`."""
        embedding = self._segmenter.embedding_key.embedding(found.picture, found.id)
        return await self._readers.run(encode_embedding, embedding, dtype)

    async def _encode(self, picture_id: str, data: bytes) -> EncodedPicture:
        with self._queue.places():
            prepared = await self._readers.run(self._prepare, data)
            (picture,) = await self._queue.answers([prepared])
        self._cache.put(picture_id, picture, sum(feature.nbytes for feature in picture.features.values()))
        return picture

    def _prepare(self, data: bytes) -> PreparedImage:
        return self._segmenter.prepare(read_image(data, max_pixels=self._max_pixels))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
