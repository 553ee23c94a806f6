"""Start and end the live page's process."""

from __future__ import annotations

import importlib.util
import select
import socket
import subprocess
import sys
from types import TracebackType

from sparsectl.common.errors import UserError
from sparsectl.common.processes import end
from sparsectl.hil.live.channel import channel_pair
from sparsectl.hil.live.feed import LiveFeed
from sparsectl.hil.live.guard import Access
from sparsectl.hil.live.view import Setup
from sparsectl.plants.rig import Rig

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0
READY = "READY"


class LivePage:
    """Context manager around the page's process; yields the trial's feed."""

    def __init__(self, port: int, rig: Rig, mode: str, state_size: int = 0) -> None:
        """Start nothing yet. `port` is of the loopback interface; 0 takes a free one. `state_size`
        is that of the policy; 0: it keeps no state."""
        self.port, self._state_size = port, state_size
        self._rig, self._mode, self._access = rig, mode, Access()
        self._child: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine; access requires its token."""
        return f"http://127.0.0.1:{self.port}/?token={self._access.token}"

    def __enter__(self) -> LiveFeed:
        """Start the page and wait until it answers.

        Raises:
            UserError: the port is taken, the extra `live` is missing, or the page does not start.
        """
        if importlib.util.find_spec("nicegui") is None:
            raise UserError("the live page needs NiceGUI; pip install 'sparsectl[live]'")
        self.port = _free_port(self.port)
        self._ours, theirs = channel_pair()
        self._ours.send({"access": self._access.to_json()})
        command = [sys.executable, "-m", "sparsectl.hil.live.page"]
        command += [str(theirs.descriptor), str(self.port)]
        self._child = subprocess.Popen(
            [*command, _setup_argument(self._rig, self._mode, self._state_size)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(theirs.descriptor,),
            start_new_session=True,  # the terminal's Ctrl-C is the trial's to answer
        )
        theirs.close()
        self._await_ready(self._child)
        rig = self._rig
        watches_state = self._state_size > 0 and self._mode != "host"
        return LiveFeed(self._ours, rig.pole_rad_per_count, rig.base.unit_per_count, watches_state)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ours.close()  # the page shows the end to its browsers and goes
        child = self._child
        if child is None:
            return
        end(child, ask=False, patience_s=END_TIMEOUT_S)
        if child.stdout is not None:
            child.stdout.close()

    def _await_ready(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], START_TIMEOUT_S)
        if not ready or child.stdout.readline().strip() != READY:
            self.__exit__(None, None, None)
            raise UserError(f"the live page did not start on port {self.port}; see its message")


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"--live-port {port} is taken ({error.strerror}); give another, or 0 for a free one"
            ) from error
        return int(probe.getsockname()[1])


def _setup_argument(rig: Rig, mode: str, state_size: int) -> str:
    setup = Setup(
        title=rig.title,
        is_rotary=rig.is_rotary,
        base_unit=rig.base.unit,
        base_limit=rig.base.limit,
        latency_of="inference" if mode == "pil" else "sample to motor",
        duties=rig.motor.duties,
        state_size=state_size,
    )
    return setup.to_json()
