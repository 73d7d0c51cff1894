"""Which replica gets a request: Ray's consistent hash of the session, and a memory of where a session has been.

The hash alone moves sessions when the number of replicas changes: of two replicas one dies, the other one's streams go
on, and when the dead one's successor joins the ring, half of those streams are sent to it, which does not know them. A
router therefore remembers where it sent a session, for as long as that replica lives. Each of Ray's proxies has a
router of its own; a session that comes to another proxy after such a change finds no stream there, and is told so.

Ray loads this in its proxies, by its import path.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

#: Sessions that are remembered; those that were not heard of for longest are forgotten.
REMEMBERED = 100_000


class StreamRouter(ConsistentHashRouter):  # type: ignore[misc]  # ray has no types
    """Ray's router with a memory. Inherits because Ray makes and calls it as its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (Ray's own arguments)
        super().__init__(*args, **kwargs)
        self._sent: OrderedDict[str, Any] = OrderedDict()

    async def choose_replicas(self, candidate_replicas: Any, pending_request: Any = None) -> Any:  # noqa: ANN401
        """Ranked lists of replicas to try."""
        ranks = await super().choose_replicas(candidate_replicas, pending_request)
        session = None if pending_request is None else pending_request.metadata.session_id
        if not session:
            return ranks
        held = self.curr_replicas.get(self._sent.get(session))
        if held is not None:
            self._sent.move_to_end(session)
            return [[held]]
        if ranks:
            self._sent[session] = ranks[0][0].replica_id
            self._sent.move_to_end(session)
            if len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return ranks
