"""Every error that this package raises on purpose, and the exit status that the command line gives each.

    SamExportError                  status 2 unless said otherwise
    ├── RequestError                the request itself is wrong: unknown name, bad option, bad prompt
    │   └── UnsupportedError        a valid name that this target, model or machine cannot do
    ├── CheckpointError             a checkpoint that is missing, damaged, hostile or of another family
    │   └── LayoutError             its tensors are not the model's
    ├── ImageError                  a picture that cannot be read or used
    │   ├── ImageFormatError        not a picture, or of a format that is not read
    │   └── ImageSizeError          more pixels than are decoded
    ├── GroundTruthError            annotations or masks that cannot be read, or are not of the pictures
    ├── EmbeddingError              an encoded picture (.semb) that is damaged, hostile or of another model
    ├── ContractError               a graph whose tensors are not the contract's
    ├── ConversionError             a converter failed (`from` its own exception)
    ├── BundleError                 a bundle that is damaged, incomplete or of another schema
    ├── OutputError                 the output folder: it exists, is read-only, or the disk is full
    ├── MissingDependencyError      an optional package is not installed
    ├── AccuracyError               status 1: the gate measured masks below the limit
    ├── SelfTestError               status 1: a bundle does not give its own masks on this machine
    └── NotVerifiableError          status 3: nothing on this machine can evaluate the graph

A message names the subject, what was given or measured, what is allowed, and the next step, in one line.
"""

from __future__ import annotations

LONGEST_REASON = 300


def one_line(exc: Exception) -> str:
    """Return what another package's exception says, short enough to stand within a message."""
    return " ".join(str(exc).split())[:LONGEST_REASON] or type(exc).__name__


class SamExportError(Exception):
    """Base of all errors; its text is fit to be shown to a user as it is."""

    exit_status = 2


class RequestError(SamExportError, ValueError):
    """The request is wrong; nothing was done."""


class UnsupportedError(RequestError):
    """A valid name that this target, model or machine cannot do."""


class CheckpointError(SamExportError):
    """A checkpoint that is missing, damaged, hostile or of another family."""


class LayoutError(CheckpointError):
    """A checkpoint whose tensors are not those of the model."""


class ImageError(SamExportError, ValueError):
    """A picture that cannot be read or used."""


class ImageFormatError(ImageError):
    """Not a picture, or one of a format that is not read."""


class ImageSizeError(ImageError):
    """A picture of more pixels than are decoded."""


class GroundTruthError(SamExportError, ValueError):
    """Annotations or masks that cannot be read, or are not of the pictures beside them."""


class EmbeddingError(SamExportError, ValueError):
    """An encoded picture (`.semb`) that is damaged, hostile or of another model."""


class ContractError(SamExportError):
    """A graph whose tensors are not the contract's."""


class ConversionError(SamExportError):
    """A converter failed; its own exception is the cause."""


class BundleError(SamExportError):
    """A bundle that is damaged, incomplete or of another schema."""


class OutputError(SamExportError):
    """The output place cannot be written as asked."""


class MissingDependencyError(SamExportError):
    """An optional package is not installed; the text gives the `pip install` line."""


class AccuracyError(SamExportError):
    """The gate measured masks below the limit; nothing was written."""

    exit_status = 1


class SelfTestError(SamExportError):
    """A bundle does not give its own masks on this machine."""

    exit_status = 1


class NotVerifiableError(SamExportError):
    """Nothing on this machine can evaluate the graph; nothing was written."""

    exit_status = 3
