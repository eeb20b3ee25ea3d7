"""Sessions that are wrong on purpose, for the gate's tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sam_export.contract import Array, EngineReport, Session

Feeds = Mapping[str, Array]
Outputs = dict[str, Array]


class WrongSession:
    """Another session whose feeds or outputs are changed on the way."""

    def __init__(
        self,
        session: Session,
        *,
        feeds: Callable[[Feeds], Feeds] = lambda feeds: feeds,
        outputs: Callable[[Outputs], Outputs] = lambda outputs: outputs,
    ) -> None:
        self._session, self._feeds, self._outputs = session, feeds, outputs

    @property
    def report(self) -> EngineReport:
        return self._session.report

    def run(self, feeds: Feeds) -> Outputs:
        return self._outputs(self._session.run(self._feeds(feeds)))
