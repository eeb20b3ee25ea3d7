"""Encoding many pictures to `.semb` files on a Ray cluster: Ray Data over actors that hold the bundle open.

Every machine sees pictures, bundle and output under the same paths. A worker that is lost is started again and its
batch with it. What it had written already is kept, as in any run that is resumed; only the pictures of that batch that
it had encoded and not yet written are encoded twice. Every file is written once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contract import EngineOptions
from ..errors import OutputError, RequestError, SamExportError
from ..optional import import_optional
from .bulk_embedding import EmbeddedPicture, EmbeddingJob, FailedPicture, Outcome, embed_pictures
from .bundle_reader import open_bundle
from .embedding_tensors import EmbeddingDtype

LOCAL = "local"
PURPOSE = "embedding on a cluster"
# Pictures that a worker takes at a time: no more than these have to be encoded again when it is lost.
BATCH = 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """`address`: of a running cluster, or `local` for a Ray of this machine that ends with the run.

    `workers`: how many pictures are encoded at once; as many as the cores allow if None.
    """

    address: str = LOCAL
    workers: int | None = None


def embed_on_ray(
    bundle: Path,
    jobs: Sequence[EmbeddingJob],
    dtype: EmbeddingDtype,
    options: EngineOptions,
    cluster: Cluster,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Outcome, ...]:
    """Return what became of every picture, in order, as `embed_pictures` does.

    Raises:
        MissingDependencyError: Ray is not installed.
        RequestError: the cluster cannot be reached, or has fewer cores than one worker takes.
        OutputError: a file cannot be written; those before it are kept.
    """
    ray = import_optional("ray", purpose=PURPOSE, extra="ray")
    import_optional("ray.data", purpose=PURPOSE, extra="ray")
    with redirect_stdout(sys.stderr):  # where Ray tells of lost workers
        try:
            _connect(ray, cluster)
            rows = _encoded_rows(bundle, jobs, dtype, options, _workers(ray, cluster, options))
            return _collected(rows, jobs, progress)
        finally:
            ray.shutdown()


def _encoded_rows(
    bundle: Path, jobs: Sequence[EmbeddingJob], dtype: EmbeddingDtype, options: EngineOptions, workers: int
) -> Iterable[Row]:
    """Yield a row a picture, in the order in which workers come back."""
    data = import_optional("ray.data", purpose=PURPOSE, extra="ray")
    data.DataContext.get_current().enable_progress_bars = False
    rows = [{"index": index, **_row(job)} for index, job in enumerate(jobs)]
    batches = -(-len(jobs) // BATCH)
    encoded = data.from_items(rows, override_num_blocks=batches).map_batches(
        Encoder,
        fn_constructor_args=(str(bundle.absolute()), dtype, options, time.time()),
        batch_size=BATCH,
        num_cpus=_cores(options),
        compute=data.ActorPoolStrategy(size=min(workers, batches)),
    )
    rows_back: Iterable[Row] = encoded.iter_rows()
    return rows_back


class Encoder:
    """What a worker runs: opens the bundle once, then encodes batch after batch."""

    def __init__(self, bundle: str, dtype: EmbeddingDtype, options: EngineOptions, started: float) -> None:
        self.segmenter = open_bundle(Path(bundle), options=options)
        self.dtype, self.started = dtype, started

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Return a row a picture; an error that is no picture's own in `fatal`."""
        pairs = zip(batch["picture"], batch["embedding"], strict=True)
        jobs = [EmbeddingJob(Path(str(picture)), Path(str(embedding))) for picture, embedding in pairs]
        try:
            rows = [self._told(outcome) for outcome in embed_pictures(self.segmenter, jobs, self.dtype)]
        except SamExportError as exc:
            rows = [{"bytes": 0, "earlier": False, "error": "", "fatal": str(exc)} for _ in jobs]
        return {
            "index": [int(index) for index in batch["index"]],
            **{key: [row[key] for row in rows] for key in rows[0]},
        }

    def _told(self, outcome: Outcome) -> Row:
        if isinstance(outcome, FailedPicture):
            return {"bytes": 0, "earlier": False, "error": outcome.error, "fatal": ""}
        # What a lost worker of this run had written is of this run.
        earlier = outcome.earlier and outcome.job.embedding.stat().st_mtime < self.started
        return {"bytes": outcome.bytes, "earlier": earlier, "error": "", "fatal": ""}


def _row(job: EmbeddingJob) -> Row:
    return {"picture": str(job.picture.absolute()), "embedding": str(job.embedding.absolute())}


def _connect(ray: Any, cluster: Cluster) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = None if cluster.address == LOCAL else cluster.address
    if address is None:
        os.environ.pop("RAY_ADDRESS", None)
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as exc:
        first = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise RequestError(
            f"--ray {cluster.address}: cannot be reached ({first}); give the address of a running cluster (HOST:6379, "
            "or auto on one of its machines), or --ray alone for this machine"
        ) from exc


def _workers(ray: Any, cluster: Cluster, options: EngineOptions) -> int:
    cores = int(ray.cluster_resources().get("CPU", 0))
    most = cores // _cores(options)
    if most < (cluster.workers or 1):
        raise RequestError(
            f"--ray {cluster.address}: {cluster.workers or 1} workers of {_cores(options)} threads do not fit into the "
            f"{cores} cores there are; give fewer --workers or --threads"
        )
    return cluster.workers or most


def _cores(options: EngineOptions) -> int:
    return options.threads or 1


def _collected(
    rows: Iterable[Row], jobs: Sequence[EmbeddingJob], progress: Callable[[int, int], None] | None
) -> tuple[Outcome, ...]:
    outcomes: dict[int, Outcome] = {}
    for row in rows:
        if row["fatal"]:
            raise OutputError(str(row["fatal"]))
        job = jobs[int(row["index"])]
        failed = str(row["error"])
        outcomes[int(row["index"])] = (
            FailedPicture(job, failed) if failed else EmbeddedPicture(job, int(row["bytes"]), bool(row["earlier"]))
        )
        if progress is not None:
            progress(len(outcomes), len(jobs))
    return tuple(outcomes[index] for index in range(len(jobs)))
