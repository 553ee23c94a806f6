"""Actuators: drives and data acquisition cards that connect the firmware, as a process on this
machine, to a real rig. One module each: a new one is a file and a line in `ACTUATORS`.
"""

from __future__ import annotations

from typing import Final

from sparsectl.hil.actuators.actuator import Opener
from sparsectl.hil.actuators.odrive import Odrive
from sparsectl.hil.actuators.qube import Qube
from sparsectl.hil.actuators.simplefoc import SimpleFoc

ACTUATORS: Final[dict[str, Opener]] = {"odrive": Odrive, "qube": Qube, "simplefoc": SimpleFoc}
"""Actuators by the word before the colon in `--port odrive:/dev/ttyACM0`."""
