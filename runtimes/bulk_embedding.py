"""Encoding many pictures to `.semb` files: reading and resizing, encoding, and writing overlap.

Resumable without a list of its own: a file that is whole, of this checkpoint, of this dtype and of the picture's bytes
is kept. Files appear whole or not at all, so a run that was stopped is simply run again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import EmbeddingError, ImageError
from ..manifest import file_sha256
from ..staging import remove_leftovers
from .embedding_file import SUFFIX, read_header, write_embedding
from .embedding_tensors import EmbeddingDtype
from .images import read_image
from .picture_model import EncodedPicture
from .preprocess import PreparedImage
from .segmenter import Segmenter

READERS = 2
# Pictures that are read before their turn, and that wait to be written; bounds the memory.
AHEAD = 4


@dataclass(frozen=True)
class EmbeddingJob:
    """A picture's file and the `.semb` that it becomes."""

    picture: Path
    embedding: Path


@dataclass(frozen=True)
class EmbeddedPicture:
    """`earlier`: the file was there already, and fits."""

    job: EmbeddingJob
    bytes: int
    earlier: bool


@dataclass(frozen=True)
class FailedPicture:
    """A picture that cannot be used, and why."""

    job: EmbeddingJob
    error: str


@dataclass(frozen=True, eq=False)
class _Read:
    """A picture ready to be encoded."""

    job: EmbeddingJob
    sha256: str
    prepared: PreparedImage


Outcome = EmbeddedPicture | FailedPicture


def embed_pictures(
    segmenter: Segmenter,
    jobs: Sequence[EmbeddingJob],
    dtype: EmbeddingDtype,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Outcome, ...]:
    """Return what became of every picture, in order; one that cannot be read does not stop the others.

    Args:
        progress: called with how many pictures are done, and of how many.

    Raises:
        RequestError: the segmenter was not opened from a bundle, or no such dtype.
        EmbeddingError: the features do not fit into the dtype.
        OutputError: a file cannot be written, or the disk is full; those before it are kept.
    """
    for folder in {job.embedding.parent for job in jobs}:
        remove_leftovers(folder, SUFFIX)
    readers, writer = ThreadPoolExecutor(READERS), ThreadPoolExecutor(1)
    outcomes: list[Outcome] = []
    try:
        waiting = deque[Future[Outcome]]()
        for read in _ahead(readers, partial(_read, segmenter, dtype), jobs):
            waiting.append(writer.submit(_finish, segmenter, dtype, read, _encoded(segmenter, read)))
            while len(waiting) > AHEAD:
                outcomes.append(waiting.popleft().result())
                _tell(progress, outcomes, jobs)
        while waiting:
            outcomes.append(waiting.popleft().result())
            _tell(progress, outcomes, jobs)
    finally:
        for pool in (readers, writer):
            pool.shutdown(cancel_futures=True)
    return tuple(outcomes)


def _tell(
    progress: Callable[[int, int], None] | None, outcomes: Sequence[Outcome], jobs: Sequence[EmbeddingJob]
) -> None:
    if progress is not None:
        progress(len(outcomes), len(jobs))


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[EmbeddingJob], _Read | Outcome], jobs: Sequence[EmbeddingJob]
) -> Iterator[_Read | Outcome]:
    """Yield what is read of each job, in order, with a few more under way."""
    waiting = deque[Future[_Read | Outcome]]()
    for job in jobs:
        waiting.append(pool.submit(read, job))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read(segmenter: Segmenter, dtype: EmbeddingDtype, job: EmbeddingJob) -> _Read | Outcome:
    try:
        sha256 = file_sha256(job.picture)
        if _fits(segmenter, dtype, job, sha256):
            return EmbeddedPicture(job, job.embedding.stat().st_size, earlier=True)
        return _Read(job, sha256, segmenter.prepare(read_image(job.picture)))
    except ImageError as exc:
        return FailedPicture(job, str(exc))
    except OSError as exc:
        return FailedPicture(job, f"{job.picture}: cannot be read ({exc.strerror or exc}); give a picture file")


def _fits(segmenter: Segmenter, dtype: EmbeddingDtype, job: EmbeddingJob, sha256: str) -> bool:
    """Whether an earlier run's file is what this one would write."""
    key = segmenter.embedding_key
    try:
        header = read_header(job.embedding)
    except EmbeddingError:  # none, or a damaged one, which is written anew
        return False
    same = header.picture_sha256 == sha256 and header.checkpoint_sha256 == key.checkpoint_sha256
    names = [entry.name for entry in header.tensors]
    return same and names == [spec.name for spec in key.tensors] and {e.dtype for e in header.tensors} == {dtype}


def _encoded(segmenter: Segmenter, read: _Read | Outcome) -> EncodedPicture | None:
    return segmenter.encode_prepared(read.prepared) if isinstance(read, _Read) else None


def _finish(
    segmenter: Segmenter, dtype: EmbeddingDtype, read: _Read | Outcome, encoded: EncodedPicture | None
) -> Outcome:
    if not isinstance(read, _Read):
        return read
    assert encoded is not None
    embedding = segmenter.embedding_key.embedding(encoded, read.sha256)
    return EmbeddedPicture(read.job, write_embedding(read.job.embedding, embedding, dtype), earlier=False)
