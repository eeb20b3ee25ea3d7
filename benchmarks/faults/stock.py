"""What all tries take from: weights, a server and a wheel that hold them, pictures, a finished bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .commands import Stock, cache_checkpoint, export
from .file_server import Behaviour, file_server
from .run import Place, run
from .tiny import of_address, of_wheel, save_checkpoint, save_pictures, save_wheel

# A pull then takes about a second.
BYTES_A_SECOND = 1e6
MANY = 24


@contextmanager
def stocked(root: Path) -> Iterator[tuple[Stock, Behaviour]]:
    """Yield the stock, and how its server serves the weights.

    Raises:
        RuntimeError: not even an undisturbed export ends well here.
    """
    root.mkdir(parents=True)
    checkpoint = save_checkpoint(root / "tiny.pth")
    (root / "wheels").mkdir()
    wheel = save_wheel(root / "wheels", checkpoint)
    with file_server(checkpoint.read_bytes()) as (url, behaviour):
        behaviour.bytes_a_second = BYTES_A_SECOND
        place = Place(root / "made").make()
        stock = Stock(
            checkpoint=checkpoint,
            address_row=of_address(url, checkpoint),
            wheel_row=of_wheel(wheel, checkpoint),
            wheels=wheel.parent,
            pictures=save_pictures(root / "pictures", 1),
            calibration=save_pictures(root / "calibration", 1, "calibration"),
            many_pictures=save_pictures(root / "many", MANY),
            bundle=place.dist / "tiny_sam-onnx-fp32",
        )
        cache_checkpoint(stock, place)
        command = export(stock, "onnx")
        ended = run(command.words(place), place, command.conditions)
        if ended.status != 0:
            raise RuntimeError(f"{command.name}: status {ended.status} with nothing in its way ({ended.said})")
        yield stock, behaviour
