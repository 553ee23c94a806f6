"""Run the fault matrix; write results/faults.json and the tables of docs/safety.md.

Every fault of the registry is injected into the host board's firmware in lockstep, on the easy
cart-pole of the tests with the policy that balances it.

    python benchmarks/faults.py [--check]
"""

from __future__ import annotations

import ast
import inspect
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from sparsectl.common.files import atomic_path, read_json, write_json
from sparsectl.common.provenance import provenance
from sparsectl.firmware_host.boards import BOARDS, find_board
from sparsectl.firmware_host.config_header import config_header, watchdog_us
from sparsectl.firmware_host.encoder_budget import encoder_budget
from sparsectl.hil.faults.kinds import FAULTS, FaultKind
from sparsectl.plants.rig import load_rig, rig_names
from sparsectl.policy.folder import PolicyFacts
from sparsectl.protocol.enums import Fault, State

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "faults.json"
POWERED = RESULTS.with_name("powered.json")
SOAK = RESULTS.with_name("soak.json")
REVERSED = RESULTS.with_name("reversed_base.json")
PAGE = ROOT / "docs" / "safety.md"

PERIOD_US = 20_000
"""Of the rigs that come with the project."""
THRESHOLDS = {
    "RIG_BASE_TRAVEL_COUNTS": ("BASE_TRAVEL", "base from home", "counts", "`[base] limit`"),
    "RIG_BASE_STEP_COUNTS": ("BASE_RATE", "base", "counts a tick", "`[base] rate_limit`"),
    "RIG_POLE_STEP_COUNTS": ("POLE_RATE", "pole", "counts a tick", "`[pole] rate_limit`"),
    "RIG_CURRENT_LIMIT_MA": (
        *("OVER_CURRENT", "motor current, two ticks in a row", "mA"),
        "`[motor] current_limit_a`; boards without a sensor say 0 in HELLO",
    ),
    "SAFETY_BASE_STOP_COUNTS": (
        *("STUCK_BASE", "a base that counted as fast and stops dead for 2 ticks", "counts a tick"),
        "1/8 of `[base] rate_limit`",
    ),
    "SAFETY_POLE_STOP_COUNTS": (
        *("STUCK_POLE", "a pole that counted as fast and stops dead for 2 ticks", "counts a tick"),
        "1/16 of `[pole] rate_limit`",
    ),
    "SAFETY_STUCK_TICKS": (
        *("STUCK_BASE, STUCK_POLE", "driven by half of the duty, or a pole still for", "ticks"),
        "0.1 s",
    ),
    "SAFETY_STUCK_TRAVEL_COUNTS": (
        *("STUCK_POLE", "base travel meanwhile", "counts"),
        "a quarter of `[base] limit`",
    ),
    "SAFETY_TELLING_DUTY": (
        *("REVERSED_BASE", "duty that a base answers; three wrong answers", ""),
        "0.35 of `[motor] max_duty`",
    ),
    "RIG_TELLING_JERK_COUNTS": (
        *(
            "REVERSED_POLE",
            "jerk of the base that a pole answers; three wrong answers more",
            "counts",
        ),
        "`[base] length_m`, model",
    ),
    "RIG_LIMIT_SWITCHES": (
        *("LIMIT_SWITCH", "the loop of the limit switches, at one tick", "1: watched"),
        "`[base] limit_switch_at`",
    ),
    "SAFETY_HOMING_TICKS": ("HOMING_TIMEOUT", "no rest for", "ticks", "10 s"),
    "SAFETY_LINK_TICKS": (
        *("LINK_LOST", "no good frame for", "ticks"),
        "`trial --link-timeout-ticks`, at most 0.2 s",
    ),
    "SAFETY_COMMAND_TICKS": (
        *("COMMAND_LATE", "age of the newest COMMAND, at most", "ticks"),
        "its time to live, 1 or 2",
    ),
    "SAFETY_WATCHDOG_US": (
        *("WATCHDOG", "time without a control tick, at most", "us"),
        "0.1 s, or five control periods where that is longer",
    ),
    "SAFETY_CLOCK_TICKS": (
        *("CLOCK", "two clocks that part by half within", "ticks"),
        "0.2 s, and at least 8 ticks",
    ),
    "SAFETY_OVERRUN_TICKS": ("OVERRUN", "time between two ticks, at most", "ticks", "0.1 s"),
}


def states() -> list[str]:
    """A row a state."""
    lines = ["| state | meaning |", "| --- | --- |"]
    return lines + [f"| {state.name} | {_doc(State, state.name)} |" for state in State]


def reasons() -> list[str]:
    """A row a reason for FAULT."""
    lines = ["| reason | why the board is in FAULT |", "| --- | --- |"]
    faults = [fault for fault in Fault if fault is not Fault.NONE]
    return lines + [f"| {fault.name} | {_doc(Fault, fault.name)} |" for fault in faults]


def pendulums() -> list[str]:
    """The rigs that differ in more than what a policy may choose."""
    return [name for name in rig_names() if not load_rig(name).motor.duties]


def thresholds() -> list[str]:
    """A row a threshold, a column a rig: what a firmware of that rig is built with."""
    rigs = pendulums()
    columns = [_macros(rig) for rig in rigs]
    lines = ["| reason | what is compared | " + " | ".join(rigs) + " | unit | set by |"]
    lines.append("| --- " * (len(rigs) + 4) + "|")
    for macro, (reason, what, unit, setting) in THRESHOLDS.items():
        values = " | ".join(column[macro].rstrip("uf") for column in columns)
        lines.append(f"| {reason} | {what} | {values} | {unit} | {setting} |")
    return lines


def matrix() -> list[str]:
    """A row a fault: what it is, how it has to end, how it ended."""
    outcomes = read_json(RESULTS)["outcomes"]
    lines = ["| fault | what happens | ends in | by | measured: reason | motor off after |"]
    lines.append("| --- " * 6 + "|")
    for name, kind in FAULTS.items():
        found = outcomes[name]
        off = _off(found, kind)
        by = " or ".join(fault.name for fault in kind.ends)
        lines.append(
            f"| {name} | {kind.does} | {kind.state.name} | {by} | {found['fault']} | {off} |"
        )
    return lines


def _off(found: dict[str, Any], kind: FaultKind) -> str:
    """Control periods to the motor off, and what they count from."""
    if found["off_ticks"] is None:
        return "never on" if kind.state == State.FAULT else "stays on"
    if not found["shown"]:
        return f"{found['off_ticks']} from the fault, before it had to ({kind.precondition})"
    since = f" (from: {kind.precondition})" if kind.precondition else ""
    return f"{found['off_ticks']} of {found['limit_ticks']}{since}"


def _doc(enum: type[State] | type[Fault], name: str) -> str:
    """The docstring under a member."""
    body = ast.parse(inspect.getsource(enum)).body[0]
    assert isinstance(body, ast.ClassDef)
    for member, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(member, ast.Assign) and ast.unparse(member.targets[0]) == name:
            assert isinstance(text, ast.Expr)
            return " ".join(str(ast.literal_eval(text.value)).split())
    raise KeyError(name)


def _macros(rig: str) -> dict[str, str]:
    constants = load_rig(rig).firmware_constants()
    policy = PolicyFacts(25, 1, 5, 5, 0, 0, "00" * 32, None)
    lines = config_header(constants, policy, find_board("host")).splitlines()
    words = [line.split(maxsplit=2) for line in lines if line.startswith("#define")]
    return {word[1]: word[2] for word in words if len(word) == 3}


def watchdogs() -> list[str]:
    """A row a board: what restarts it, and when."""
    lines = ["| board | watchdog counts | motor off after, in ms | ticks are compared with |"]
    lines.append("| --- " * 4 + "|")
    for board in BOARDS.values():
        if board.watchdog is None:
            counts, after = "a timer of the system", "80 to 100"
        else:
            counts = board.watchdog.oscillator
            least, most = (us / 1000 for us in board.watchdog.bites_us(watchdog_us(PERIOD_US)))
            after = f"{least:.0f} to {most:.0f}" if round(least) < round(most) else f"{most:.0f}"
        lines.append(f"| `{board.name}` | {counts} | {after} | {board.second_clock} |")
    return lines


def edges() -> list[str]:
    """A row a board that takes an interrupt for each edge: how many a second it counts."""
    lines = ["| board | cycles an edge | edges a second, together | of one encoder |"]
    lines.append("| --- " * 4 + "|")
    rigs = {name: load_rig(name).firmware_constants() for name in pendulums()}
    for board in BOARDS.values():
        budget = encoder_budget(board, next(iter(rigs.values())))
        if budget is not None:
            bounds = f"{budget.most_together:,} | {budget.most_of_one:,}"
            lines.append(f"| `{board.name}` | {board.edge_cycles} | {bounds} |")
    for name, rig in rigs.items():
        budget = encoder_budget(find_board("arduino-uno"), rig)
        assert budget is not None
        one = max(budget.base, budget.pole)
        lines.append(f"| {name}, at its rate limits | | {budget.base + budget.pole:,} | {one:,} |")
    return lines


def powered() -> list[str]:
    """A row a board: how trials in a row ended on it, which stayed powered."""
    results = read_json(POWERED)
    lines = ["| board | trials | in the loop | on the board's own pins | refused or lost |"]
    lines.append("| --- " * 5 + "|")
    for name in (name for name in BOARDS if name in results):
        found = results[name]
        pins = {word: count for word, count in found["ended"].items() if word in Fault.__members__}
        shown = ", ".join(f"{word} {count}" for word, count in pins.items()) or "not in QEMU"
        in_loop = sum(found["ended"].values()) - sum(pins.values())
        lines.append(
            f"| `{name}` | {found['trials']} | {in_loop} | {shown} | {len(found['wrong'])} |"
        )
    return lines


def soaked() -> list[str]:
    """A row a thing that happened to a trial: how such trials ended."""
    results = read_json(SOAK)
    lines = [
        f"{results['trials']} trials, {results['drives']} drives, at most "
        f"{results['most_ticks_unheard']} ticks driven after the last frame, "
        f"{len(results['wrong'])} wrong:",
        "",
        "| what happened | how the trials ended |",
        "| --- | --- |",
    ]
    ended: dict[str, list[str]] = {}
    for word, count in results["ended"].items():
        event, _, how = word.partition(": ")
        ended.setdefault(event, []).append(f"{count} {how}")
    return lines + [f"| {event} | {'; '.join(words)} |" for event, words in ended.items()]


def reversed_bases() -> list[str]:
    """A row a kind of rig: what stopped healthy ones, and how soon reversed ones were stopped."""
    lines = [
        "| rigs, and what drives them | healthy: stopped by REVERSED_BASE | by other checks | "
        "base's encoder reversed: stopped | after, in ticks | base by then, in m/s | motor's wires "
        "swapped: stopped | after, in ticks | pole's encoder reversed: stopped | after, in ticks | "
        "healthy, a finger against the pole: stopped | pole's encoder freezes: stopped | "
        "after, in s | it never counts: stopped | after, in s |",
        "| --- " * 15 + "|",
    ]
    for name, found in read_json(REVERSED)["cases"].items():
        right, faults = found["right"], dict(found["right"]["stopped"])
        wrong = faults.pop("REVERSED_BASE", 0)
        others = ", ".join(f"{fault} {count}" for fault, count in faults.items()) or "0"
        cells = [f"{name}", f"{wrong} of {right['rigs']} in {right['hours']:.1f} h", others]
        for what in ("base", "motor", "pole"):
            row = found.get(what)
            if row is None:
                cells += ["-"] * (3 if what == "base" else 2)
                continue
            cells.append(f"{sum(row['by'].values())} of {row['rigs']}")
            cells.append(
                f"{row['ticks']['median']:.0f}, 9 of 10 by {row['ticks']['of_nine_tenths']:.0f}"
            )
            if what == "base":
                cells.append(f"{row['speed']['median']:.2f}, at most {row['speed']['most']:.2f}")
        pushed = (_pushed(row) for row in found.get("pushed", ()))
        cells.append("; ".join(pushed) or "-")
        for stuck in (found["frozen"], found["dead"]):
            seconds = stuck["seconds"]
            cells.append(f"{sum(stuck['by'].values())} of {stuck['rigs']}")
            cells.append(f"{seconds['median']:.2f}, 9 of 10 by {seconds['of_nine_tenths']:.2f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _pushed(row: dict[str, Any]) -> str:
    """Of how many healthy rigs a check took a finger for a fault."""
    stopped = ", ".join(f"{fault} {count}" for fault, count in row["stopped"].items()) or "0"
    return f"{stopped} in {row['pushes']:,} pushes of {row['seconds']:g} s"


TABLES: dict[str, Callable[[], list[str]]] = {
    "states": states,
    "reasons": reasons,
    "thresholds": thresholds,
    "watchdogs": watchdogs,
    "edges": edges,
    "matrix": matrix,
    "powered": powered,
    "soaked": soaked,
    "reversed": reversed_bases,
}


def filled(text: str) -> str:
    """The page's text with each table between its marks made anew."""
    for name, table in TABLES.items():
        head, found, rest = text.partition(f"<!-- table: {name} -->\n")
        _, closed, tail = rest.partition("<!-- end -->")
        if not found or not closed:
            raise ValueError(f"{PAGE.name} has no place for the table {name!r}")
        text = head + found + "\n".join(table()) + "\n" + closed + tail
    return text


def run_matrix() -> None:
    """Inject every fault and write what became of each."""
    sys.path.insert(0, str(ROOT))
    from sparsectl.hil.fault_matrix.matrix import Matrix
    from tests.hil.policies import EASY_POLICY, SWITCHED_RIG, export_into

    constants = load_rig(SWITCHED_RIG).firmware_constants()
    with tempfile.TemporaryDirectory() as folder:
        policy = export_into(EASY_POLICY, Path(folder) / "policy")
        built = Matrix(policy, str(SWITCHED_RIG), constants, Path(folder)).build()
        start = time.monotonic()
        outcomes = {name: asdict(built.run(name)) for name in tqdm(FAULTS)}
        seconds = time.monotonic() - start
    failed = [name for name, outcome in outcomes.items() if not outcome["as_it_should"]]
    write_json(
        RESULTS, {"outcomes": outcomes, "seconds": round(seconds, 1), "provenance": provenance()}
    )
    print(f"{len(outcomes)} faults in {seconds:.1f} s, {len(failed)} not as they should: {failed}")
    if failed:
        sys.exit(1)


@dataclass(frozen=True)
class FaultsConfig:
    """Run the matrix and write its tables."""

    check: bool = False
    """Run nothing; only say whether the page is up to date; exit code 1 when not."""


def main(config: FaultsConfig) -> None:
    """Run and write, or check."""
    if not config.check:
        run_matrix()
    text = PAGE.read_text(encoding="utf-8")
    wanted = filled(text)
    if config.check and wanted != text:
        sys.exit("docs/safety.md's tables are not those of the registry; run benchmarks/faults.py")
    if not config.check:
        with atomic_path(PAGE) as temporary:
            temporary.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(FaultsConfig))
