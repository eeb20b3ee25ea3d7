"""The parts that answer requests, put together once for a bundle and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from ..runtimes import EncodedPicture, Segmenter
from ..runtimes.preprocess import PreparedImage
from .byte_cache import ByteCache
from .mask_jobs import MaskJob, MaskLogits, alike, decode
from .masks import Masks
from .metrics import Metrics
from .options import MAX_PROMPTS, ServerOptions
from .pictures import Pictures
from .problems import Problem
from .readers import Readers
from .served_bundle import ServedBundle
from .uploads import Uploads, client_gone
from .work_queue import Batching, QueueLimits, WorkQueue

Result = TypeVar("Result")
RETRY_AFTER_S = 5
# Of the time that an answer may take, what a job may wait; the rest is for its own work.
PATIENT_SHARE = 0.8


class Service:
    """Used in one event loop: queues with their engines, the cache, uploads, and whether all of it is up."""

    def __init__(self, bundle: ServedBundle, options: ServerOptions, metrics: Metrics) -> None:
        self.options = options
        self.uploads = Uploads(options)
        self._ready = False
        self._readers = Readers()
        cache = ByteCache[EncodedPicture](options.cache_bytes)
        segmenter = bundle.segmenters[0]
        patience = PATIENT_SHARE * options.answer_seconds
        self.encoders = WorkQueue[PreparedImage, EncodedPicture](
            "encoder",
            [partial(_encode, one) for one in bundle.segmenters],
            QueueLimits(options.max_waiting, patience),
            observe=metrics.batch_observer("encoder"),
        )
        self.decoders = WorkQueue[MaskJob, MaskLogits](
            "decoder",
            [partial(decode, one) for one in bundle.segmenters],
            QueueLimits(options.max_waiting_prompts, patience),
            Batching(alike, MAX_PROMPTS),
            observe=metrics.batch_observer("decoder"),
        )
        self.pictures = Pictures(
            segmenter, self.encoders, self._readers, cache, max_pixels=options.max_pixels, found=metrics.looked_up
        )
        self.masks = Masks(
            segmenter, self.pictures, self.decoders, self._readers, max_mask_pixels=options.max_mask_pixels
        )
        _watch(metrics, self, cache)

    @property
    def is_ready(self) -> bool:
        return self._ready

    def start(self) -> None:
        self.encoders.start()
        self.decoders.start()
        self._ready = True

    async def stop(self) -> None:
        self._ready = False
        await self.encoders.stop()
        await self.decoders.stop()
        self._readers.stop()

    async def unless_gone(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what the work gives, given up when its client goes away or it takes too long.

        Raises:
            Problem: 503, it took too long.
        """
        task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
        try:
            async with asyncio.timeout(self.options.answer_seconds):
                await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as exc:
            raise Problem(
                503,
                "too_slow",
                f"no answer within {self.options.answer_seconds:g} s; try again later",
                {"Retry-After": str(RETRY_AFTER_S)},
            ) from exc
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
        if not task.done():
            raise client_gone()
        return task.result()


def _encode(segmenter: Segmenter, jobs: Sequence[PreparedImage]) -> list[EncodedPicture]:
    return [segmenter.encode_prepared(job) for job in jobs]


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _watch(metrics: Metrics, service: Service, cache: ByteCache[EncodedPicture]) -> None:
    metrics.watch("sam_export_encoder_jobs", "Pictures that wait or are encoded", lambda: service.encoders.held)
    metrics.watch("sam_export_decoder_jobs", "Prompts that wait or are decoded", lambda: service.decoders.held)
    metrics.watch("sam_export_upload_bytes", "Bodies in memory", lambda: service.uploads.held_bytes)
    metrics.watch("sam_export_kept_bytes", "Encoded pictures in memory", lambda: cache.bytes)
    metrics.watch("sam_export_kept_pictures", "Encoded pictures in memory", lambda: len(cache))
