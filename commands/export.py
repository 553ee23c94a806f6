"""`sparsectl export`: with a board named, the encoding is chosen by measuring all that serve it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sparsectl.command_line.config import ChooseConfig
from sparsectl.commands.choosing.benches import Benches
from sparsectl.commands.choosing.choice import Choice
from sparsectl.commands.choosing.measuring import (
    check_encoding,
    check_limits,
    clock_of,
    export_config,
    measured_choice,
    need_of,
    need_of_host,
    verify_on,
)
from sparsectl.common.errors import UserError
from sparsectl.common.files import write_json
from sparsectl.common.provenance import provenance
from sparsectl.common.scratch import scratch_folder
from sparsectl.export.naming import check_prefix
from sparsectl.export.packaging.registry import find_package
from sparsectl.export.pipeline import check_settings, export_policy
from sparsectl.export.shared import Shared
from sparsectl.firmware_host.bench import Target, find_target

CHOICE_JSON: Final = "choice.json"
CHOICE_SVG: Final = "choice.svg"


def export(config: ChooseConfig) -> dict[str, Any]:
    """Export; on the first board named choose the encoding, on all of them verify.

    Returns:
        What `export.pipeline.export_policy` does; with boards also choice (what was measured),
        boards (`bench` on each), verified and, with episodes, closed_loop.

    Raises:
        UserError: limits without a board; nothing fits; a board gives other bits than the
            reference; and what `export_policy` and `bench` raise.
    """
    targets = check_export(config)
    _check_calibration(config.calibration)
    if config.episodes:
        # Gymnasium, which other exports do not need.
        from sparsectl.commands.choosing.closed_loop import check_closed_loop, closed_loop

        check_closed_loop(config)
    wanted = export_config(config)
    if targets:
        shared = Shared()
        choice, boards = choose(config, targets, shared)
        assert choice.best is not None
        needs = [need_of(target, boards[target.name]) for target in targets]
        best = replace(wanted, encoding=choice.best.encoding)
        result = export_policy(best, lambda *_: needs, shared=shared)
        result |= _write_choice(choice, config.out) | {"boards": boards}
        result["verified"] = {name: _proof(found) for name, found in boards.items()}
    else:
        result = export_policy(wanted, need_of_host)
    if config.episodes:
        result["closed_loop"] = closed_loop(wanted, config.episodes, config.seed)
    return result


def check_export(config: ChooseConfig) -> list[Target]:
    """Check what does not need the model.

    Returns:
        The boards that are named.

    Raises:
        UserError: there is no such package, prefix, board or encoding, or a limit without a board.
    """
    find_package(config.package)
    check_prefix(config.prefix)
    targets = [find_target(name) for name in config.board]
    limits = check_limits(config)
    if not targets and (named := sorted(limits.keys() - {"error"})):
        raise UserError(
            f"--{named[0]} {limits[named[0]]} is a limit that is measured on a board; name one, "
            "such as --board cortex-m4f"
        )
    check_encoding(config.encoding)
    check_settings(config)
    return targets


def _check_calibration(calibration: Path | None) -> None:
    """Tell of a missing file once, and not as what keeps each of the encodings from the board.

    It is no part of `check_export`, which a sweep asks before the file's own command has run.
    """
    if calibration is not None and not calibration.is_file():
        raise UserError(
            f"--calibration is {calibration}, which is no file; give an .npz with "
            "'observations', as `collect` writes it"
        )


def choose(
    config: ChooseConfig, targets: list[Target], shared: Shared
) -> tuple[Choice, dict[str, Any]]:
    """Measure the candidates on the first board, and the best of them on all.

    Raises:
        UserError: nothing fits; a board gives other bits than the reference.
    """
    with scratch_folder("choose") as scratch, Benches() as benches:
        choice, folder = measured_choice(
            config, targets[0], scratch, benches, shared, while_measuring=_import_plot
        )
        return choice, verify_on(folder, [target.name for target in targets], benches)


def _proof(result: dict[str, Any]) -> str:
    unit, time = clock_of(result)
    return f"{result['golden_vectors']} golden vectors bit for bit, {time:,.6g} {unit} at worst"


def _import_plot() -> None:
    """Import matplotlib, which takes as long as many a compilation, before it is needed."""
    import sparsectl.hil.report.encoding_plot  # noqa: F401


def _write_choice(choice: Choice, out: Path) -> dict[str, Any]:
    """Write choice.json and choice.svg beside the policy."""
    # matplotlib, which other exports do not need
    from sparsectl.hil.report.encoding_plot import read_choice, write_encoding_plot

    summary = choice.summary()
    write_json(out / CHOICE_JSON, summary | {"provenance": provenance()})
    if measured := read_choice(out):
        write_encoding_plot(measured, out / CHOICE_SVG)
    return {"choice": summary}
