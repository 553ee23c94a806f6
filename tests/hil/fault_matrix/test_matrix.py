"""Every fault in the registry ends in its named safe state, in time, on the real firmware."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsectl.hil.fault_matrix.host import COMMAND_FAULTS, REQUEST_FAULTS
from sparsectl.hil.fault_matrix.matrix import MARGIN_TICKS, Matrix
from sparsectl.hil.faults.board import BOARD_FAULTS
from sparsectl.hil.faults.kinds import BOARD, FAULTS, HOST, LINE, PLANT
from sparsectl.hil.faults.line_faults import LINE_FAULTS
from sparsectl.hil.faults.plant import PLANT_FAULTS
from sparsectl.plants.rig import load_rig
from sparsectl.protocol.enums import Fault, State
from tests.hil.policies import SWITCHED_RIG


@pytest.fixture(scope="module")
def matrix(easy: Path, tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    constants = load_rig(SWITCHED_RIG).firmware_constants()
    return Matrix(easy, str(SWITCHED_RIG), constants, tmp_path_factory.mktemp("matrix")).build()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_its_safe_state(matrix: Matrix, name: str) -> None:
    outcome = matrix.run(name)
    assert outcome.as_it_should, outcome
    if FAULTS[name].state == State.FAULT:
        assert outcome.fault != Fault.NONE.name
    if not FAULTS[name].window and not FAULTS[name].precondition and outcome.off_ticks is not None:
        assert outcome.off_ticks <= MARGIN_TICKS


def test_the_matrix_is_large_enough_and_every_fault_is_made() -> None:
    assert sum(kind.state == State.FAULT for kind in FAULTS.values()) >= 50
    assert {kind.name for kind in PLANT} == PLANT_FAULTS.keys()
    assert {kind.name for kind in LINE} == LINE_FAULTS.keys()
    assert {kind.name for kind in HOST} == {
        "silent_host",
        *COMMAND_FAULTS,
        *REQUEST_FAULTS,
    }
    assert {kind.name for kind in BOARD} == BOARD_FAULTS.keys()


def test_every_reason_of_the_board_is_reached(matrix: Matrix) -> None:
    assert {fault for kind in FAULTS.values() for fault in kind.ends} == set(Fault)


def test_two_runs_end_alike(matrix: Matrix) -> None:
    names = ("flipped_bits", "stuck_pole_encoder", "late_commands", "stalled_board")
    assert [matrix.run(name) for name in names] == [matrix.run(name) for name in names]
