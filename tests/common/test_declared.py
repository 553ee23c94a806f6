"""Settings from Python in the forms that people give them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl import api
from sparsectl.command_line.config import ChooseConfig
from sparsectl.common.declared import as_declared
from sparsectl.common.errors import UserError
from sparsectl.common.signal_ranges import Pair

ONE = (Pair(-5.0, 5.0),)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("model", "policy.onnx", Path("policy.onnx")),
        ("calibration", "data.npz", Path("data.npz")),
        ("calibration", None, None),
        ("encoding", "csr", "csr"),
        ("range", "-5,5", ONE),
        ("range", (-5, 5), ONE),
        ("range", [(-5, 5.0)], ONE),
        ("range", ONE, ONE),
        ("range", ((-5, 5), "0,1"), (*ONE, Pair(0.0, 1.0))),
        ("range", (), ()),
    ],
)
def test_a_setting_is_what_is_declared(name: str, given: object, wanted: object) -> None:
    found = as_declared(ChooseConfig, name, given)
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize("given", [(5, -5), 5, ("low", "high"), [(1, 2, 3)], "nonsense"])
def test_a_range_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(UserError, match="range is"):
        as_declared(ChooseConfig, "range", given)


def test_a_path_may_be_a_str(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing.onnx"):
        api.export(str(tmp_path / "nothing.onnx"), out=str(tmp_path / "policy"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model"):
        api.export(tmp_path, model=tmp_path)
