"""A link at whose other end an AeorDB node may be; see `cluster.foreign_link`."""

from contextlib import suppress
from functools import partial

from aeorsync.cluster import link as links
from aeorsync.cluster.cycle import Report
from aeorsync.cluster.foreign_link import Foreigner, greet
from aeorsync.cluster.honeymoon import ClockOffError
from aeorsync.cluster.link import Link
from aeorsync.core.links import LinkEvent
from aeorsync.errors import NotFoundError
from aeorsync.remote.calls import Remote


class OpenLink(Link):
    """A link to whoever answers.

    Attributes:
        foreigner: The peer, while it is connected and an AeorDB node.
    """

    foreigner: Foreigner | None = None

    async def _settle(self, remote: Remote) -> None:
        try:
            await super()._settle(remote)
        except NotFoundError:
            try:
                await self._host(remote)
            finally:
                self.foreigner, self.standing.is_foreign = None, False

    async def _host(self, remote: Remote) -> None:
        """Deal with an AeorDB node until the connection ends."""
        self.foreigner = foreigner = await greet(remote)
        self.standing.is_foreign = True
        if foreigner.node_id is not None and foreigner.node_id != self.record.node_id:
            self._claim(self, foreigner.node_id)
            await self.amend(node_id=foreigner.node_id)
        self._step(LinkEvent.CONNECTED, "looking how it is")
        while True:
            while not self._judge(await foreigner.unsettled(self._site.wall, self.standing)):
                await self._pause(links.HONEYMOON_S)
            self._news.set()
            with suppress(ClockOffError):
                await self._pull(remote)

    async def _cycle(self, remote: Remote, ahead: str | None) -> Report:
        foreigner = self.foreigner
        if foreigner is None:
            return await super()._cycle(remote, ahead)
        self.standing.note_attempt()
        if not self._judge(await foreigner.unsettled(self._site.wall, self.standing)):
            raise ClockOffError("its clock is off")
        cycle = partial(foreigner.cycle, self._site, self.record)
        report = await self._site.tally.watch(self.record, "pull", cycle)
        self._failures = 0
        if report.complaint is None:
            self.standing.note_success()
        else:
            self.standing.note_failure(report.complaint)
        return report
