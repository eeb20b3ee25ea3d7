"""The same application on Ray Serve, for several machines: each replica has engines, queue and cache of its own.

Ray's proxies read requests whole before a replica sees them, and wait for slow ones: put limits on both in front.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import ModuleType

from fastapi import FastAPI

from ..errors import RequestError, one_line
from ..optional import import_optional
from .run import ListenOptions, log_to_stderr

NAME = "sam-export"
SIGNALS = (signal.SIGTERM, signal.SIGINT)
MAX_REPLICAS = 1024


def require_ray() -> None:
    """Raise MissingDependencyError unless Ray Serve is installed."""
    import_optional("ray.serve", purpose="serving on Ray", extra="ray")


def serve_on_ray(
    build: Callable[[], FastAPI], listening: ListenOptions, *, replicas: int, cpus: int, started: Callable[[], None]
) -> None:
    """Answer requests until SIGTERM or SIGINT, then take the application down.

    The cluster is that of RAY_ADDRESS, or one of this machine alone that ends with it.

    Args:
        build: makes the application; called in each replica, on its own machine.
        cpus: what a replica takes of its machine.
        started: called once requests are answered.

    Raises:
        RequestError: a number of replicas that makes no sense, or a Ray that cannot be started or reached.
        MissingDependencyError: Ray Serve is not installed.
    """
    if not 1 <= replicas <= MAX_REPLICAS:
        raise RequestError(f"--replicas {replicas}: allowed: 1 to {MAX_REPLICAS}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_optional("ray", purpose="serving on Ray", extra="ray")
    serve = import_optional("ray.serve", purpose="serving on Ray", extra="ray")
    _begin(ray)
    try:
        serve.start(http_options={"host": listening.host, "port": listening.port})
        deployed = serve.deployment(serve.ingress(_builder(build))()).options(
            name=NAME,
            num_replicas=replicas,
            ray_actor_options={"num_cpus": cpus},
            max_ongoing_requests=listening.max_connections,
            graceful_shutdown_timeout_s=listening.drain_seconds,
        )
        serve.run(deployed.bind(), name=NAME, route_prefix="/")
        started()
        _wait_for_signal()
    finally:
        serve.shutdown()
        ray.shutdown()


def _begin(ray: ModuleType) -> None:
    """Reach the cluster of `RAY_ADDRESS`, or start a Ray of this machine.

    Raises:
        RequestError: it cannot be had.
    """
    try:
        ray.init(include_dashboard=False, log_to_driver=True, logging_level="ERROR")
    except Exception as exc:  # of one that does not start in time, nothing more special
        raise RequestError(
            f"serve --ray: no Ray to serve on ({one_line(exc)}); set RAY_ADDRESS to a cluster that runs, or unset it "
            "for a Ray of this machine, which takes a core and some seconds to start"
        ) from exc


def _wait_for_signal() -> None:
    """Return on SIGTERM or SIGINT. Ray has put handlers of its own in place, which end the process with a trace."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in SIGNALS}
    try:
        told.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None where it was not Python's


def _builder(build: Callable[[], FastAPI]) -> Callable[[], FastAPI]:
    """Return a plain function, which is what Ray calls in a replica."""

    def built() -> FastAPI:
        log_to_stderr()
        return build()

    return built
