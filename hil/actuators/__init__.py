"""What stands between the firmware as a process of this machine and a rig of iron: a drive or a
data acquisition card of its own. One module each: a new one is a file and a line in `ACTUATORS`.
"""

from __future__ import annotations

from typing import Final

from sparsectl.hil.actuators.actuator import Opener
from sparsectl.hil.actuators.odrive import Odrive
from sparsectl.hil.actuators.qube import Qube
from sparsectl.hil.actuators.simplefoc import SimpleFoc

ACTUATORS: Final[dict[str, Opener]] = {"odrive": Odrive, "qube": Qube, "simplefoc": SimpleFoc}
"""By the word before the colon in `--port odrive:/dev/ttyACM0`."""
