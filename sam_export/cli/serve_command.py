"""`sam-export serve BUNDLE`: the split deployment. Pictures are encoded here, prompts answered here or in a browser."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract import EngineOptions
from ..errors import RequestError
from ..manifest import read_manifest
from ..optional import require_installed
from .arguments import given_path, given_text, number, whole_number
from .termination import Terminated

if TYPE_CHECKING:
    from ..server import ServedBundle
    from ..server.options import ServerOptions
    from ..server.run import ListenOptions

API_KEY_VARIABLE = "SAM_EXPORT_API_KEY"
PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
MIN_KEY_LENGTH = 16
MIB = 2**20


@dataclass(frozen=True)
class BundleRequest:
    """What is served, and by which engines."""

    bundle: Path
    engines: int
    options: EngineOptions
    browser_bundle: Path | None
    whole: bool

    @property
    def cpus(self) -> int:
        """What all engines together use, as far as it is said."""
        return self.engines * (self.options.threads or 1)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve`; its `run` default is the handler, `(Namespace) -> exit status`."""
    parser = subparsers.add_parser(
        "serve",
        help="serve a bundle over HTTP",
        description="Encodes pictures for browsers that decode (POST /v1/embeddings) and answers prompts for thin "
        f"clients (POST /v1/masks). An API key is taken from ${API_KEY_VARIABLE} or a file, never from here.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", type=given_path, help="a folder that sam-export wrote")
    parser.add_argument(
        "--host", default="127.0.0.1", type=given_text, help="address to listen on (default: %(default)s)"
    )
    parser.add_argument("--port", default=8000, type=whole_number, help="port, 0 for a free one (default: %(default)s)")
    _add_engines(parser)
    _add_limits(parser)
    _add_access(parser)
    _add_ray(parser)
    parser.set_defaults(run=_run)


def _add_engines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engines", default=1, type=whole_number, metavar="N", help="pictures encoded side by side")
    parser.add_argument("--threads", type=whole_number, metavar="N", help="threads of each engine")
    parser.add_argument("--provider", type=given_text, metavar="NAME", help="ONNX Runtime provider or OpenVINO device")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--queue", default=32, type=whole_number, metavar="N", help="pictures that may wait (default: 32)"
    )
    parser.add_argument("--max-mb", default=32, type=whole_number, metavar="MB", help="of one upload (default: 32)")
    parser.add_argument(
        "--max-megapixels", default=50.0, type=number, metavar="MP", help="of one picture (default: 50)"
    )
    parser.add_argument(
        "--cache-mb", default=512, type=whole_number, metavar="MB", help="for encoded pictures (default: 512)"
    )
    parser.add_argument(
        "--timeout", default=60.0, type=number, metavar="S", help="for an answer, and for an upload (default: 60)"
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--api-key-file", type=given_path, metavar="FILE", help=f"keys, one a line; or set ${API_KEY_VARIABLE}"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        type=given_text,
        metavar="ORIGIN",
        help="a web origin whose pages may call, such as https://example.org; may be repeated (default: none)",
    )
    parser.add_argument("--page", type=given_path, metavar="DIR", help="a built demo page to show at /")
    parser.add_argument(
        "--browser-bundle",
        type=given_path,
        metavar="DIR",
        help="what pages decode with, if another bundle of the same checkpoint (default: BUNDLE)",
    )
    parser.add_argument("--whole-bundle", action="store_true", help="let pages have the image encoder, too")


def _add_ray(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ray", action="store_true", help="run on Ray Serve (a cluster's, if RAY_ADDRESS is set)")
    parser.add_argument(
        "--replicas", default=1, type=whole_number, metavar="N", help="with --ray: how many (default: 1)"
    )


def _run(args: argparse.Namespace) -> int:
    for package in PACKAGES:
        require_installed(package, purpose="serving a bundle", extra="serve")
    from ..server.options import ServerOptions
    from ..server.run import ListenOptions

    listening = ListenOptions(args.host, args.port)
    options = ServerOptions(
        max_body_bytes=args.max_mb * MIB,
        max_held_bytes=max(256, 2 * args.max_mb) * MIB,
        max_pixels=round(args.max_megapixels * 1e6),
        max_waiting=args.queue,
        cache_bytes=args.cache_mb * MIB,
        body_seconds=args.timeout,
        answer_seconds=args.timeout,
        allow_origins=tuple(args.allow_origin),
        api_keys=_api_keys(args.api_key_file),
        page=args.page,
    )
    asked = BundleRequest(
        args.bundle,
        args.engines,
        EngineOptions(threads=args.threads, provider=args.provider),
        args.browser_bundle,
        args.whole_bundle,
    )
    if args.ray:
        return serve_replicas(asked, options, listening, args.replicas)
    return serve_bundle(asked, options, listening)


def serve_bundle(asked: BundleRequest, options: ServerOptions, listening: ListenOptions) -> int:
    """Serve until a signal ends it, which is how a server ends: 0.

    Raises:
        BundleError, RequestError, SelfTestError: nothing is served.
    """
    from ..server import create_app
    from ..server.run import listen, serve

    served = _opened(asked)
    app = create_app(served, options)
    with listen(listening) as socket, suppress(Terminated, KeyboardInterrupt):
        host, port = socket.getsockname()[:2]
        text = f"serving {served.model.model} on http://{host}:{port}/ (interface: /docs); SIGTERM ends it\n"
        serve(app, socket, listening, lambda: _say(text))
    return 0


def serve_replicas(asked: BundleRequest, options: ServerOptions, listening: ListenOptions, replicas: int) -> int:
    """Serve on Ray until a signal ends it: 0. The bundle lies at the same path on every machine.

    Raises:
        BundleError, RequestError, MissingDependencyError: nothing is served.
    """
    from ..server import create_app
    from ..server.ray_app import require_ray, serve_on_ray

    require_ray()
    model = read_manifest(asked.bundle).model.model
    asked = replace(asked, bundle=asked.bundle.absolute())
    text = f"serving {model} on http://{listening.host}:{listening.port}/ by Ray (interface: /docs); SIGTERM ends it\n"
    with suppress(Terminated, KeyboardInterrupt):
        serve_on_ray(
            lambda: create_app(_opened(asked), options),
            listening,
            replicas=replicas,
            cpus=asked.cpus,
            started=lambda: _say(text),
        )
    return 0


def _opened(asked: BundleRequest) -> ServedBundle:
    from ..runtimes import try_bundle
    from ..server import open_served_bundle

    try_bundle(asked.bundle, options=asked.options)
    return open_served_bundle(
        asked.bundle,
        engines=asked.engines,
        options=asked.options,
        browser_bundle=asked.browser_bundle,
        whole=asked.whole,
    )


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _api_keys(file: Path | None) -> tuple[str, ...]:
    """Return the keys of the file and of the environment.

    Raises:
        RequestError: the file cannot be read or holds none, or a key is too short to be one.
    """
    keys = [os.environ[API_KEY_VARIABLE]] if API_KEY_VARIABLE in os.environ else []
    if file is not None:
        try:
            keys += [line.strip() for line in file.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as exc:
            raise RequestError(f"{file}: no file of API keys that can be read; give one, a key a line") from exc
    shortest = min(map(len, keys), default=MIN_KEY_LENGTH if file is None else 0)
    if shortest < MIN_KEY_LENGTH:
        raise RequestError(
            f"API key: one of {shortest} characters, allowed: at least {MIN_KEY_LENGTH}; give a random one"
        )
    return tuple(keys)
