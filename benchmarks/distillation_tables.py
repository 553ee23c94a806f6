"""Tables of the page on the methods of Distilling Policy Distillation, from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json
from sparsectl.training.trajectory.methods import ALL, METHODS, Loss, Method, Reward

RESULTS = Path(__file__).resolve().parent / "results"

LOSSES = {
    Loss.NONE: "0",
    Loss.TEACHERS_CROSS_ENTROPY: "H×(π‖π_θ)",
    Loss.STUDENTS_CROSS_ENTROPY: "H×(π_θ‖π)",
}
REWARDS = {
    Reward.NONE: "0",
    Reward.LOG_TEACHER: "log π(a_i\\|s_i)",
    Reward.NEXT_CROSS_ENTROPY: "−H×(π‖π_θ) in s_{i+1}",
    Reward.NEXT_LOG_TEACHER: "log π(a_{i+1}\\|s_{i+1})",
    Reward.TEACHERS_VALUE_STUDENTS_CRITIC: "r_i + V_π(s_{i+1}) − V_πθ(s_i)",
    Reward.TEACHERS_VALUE: "r_i + V_π(s_{i+1}) − V_π(s_i)",
    Reward.ENVIRONMENT: "r_i",
}
DISTILL = "imitation and DAgger, ten steps"
MARKS = (10, 100, 1000, 30_000)
FINAL = {
    "methods": "good teacher",
    "noisy teacher": "25 % noise",
    "adverse teacher": "adverse",
    "corridor": "corridor, good",
    "adverse corridor": "corridor, adverse",
    "partial view": "sees 3 x 3 cells",
    "moved back": "moved back",
    "without end": "without end",
}


def experiments() -> dict[str, Any]:
    found: dict[str, Any] = read_json(RESULTS / "grid_worlds.json")["experiments"]
    return found


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def spread(mean: float, low: float, high: float, digits: int = 2) -> str:
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def acts(method: Method) -> str:
    if (method.student, method.teacher) == (0.5, 0.5):
        return "either"
    return {(1, 0): "student", (0, 1): "teacher"}.get(
        (method.student, method.teacher), "random moves"
    )


def trajectory_methods() -> list[str]:
    """Each method as its row of data."""
    rows = [
        [
            name,
            acts(method),
            LOSSES[method.loss],
            REWARDS[method.reward] + ("" if method.summed else ", not summed"),
        ]
        for name, method in ALL.items()
        if not method.baseline
    ]
    return table(["method", "who acts", "ℓ_t", "r̂_i"], rows)


def trajectory_thousand() -> list[str]:
    """The six methods, at some numbers of trajectories."""
    found = experiments()["thousand"]
    columns = [found["marks"].index(mark) for mark in MARKS]
    rows = []
    for name, row in found["rows"].items():
        median = row["recovered_median"]
        rows.append(
            [
                name,
                f"{row['rate']:.2g}",
                *(spread(row["share"][k], row["low"][k], row["high"][k]) for k in columns),
                f"{100 * row['recovered']:.0f} %",
                "never" if median is None else f"{median:,.0f}",
            ]
        )
    seconds = found["processor_seconds"]
    heads = [f"after {mark:,}" for mark in MARKS]
    return [
        f"{found['worlds']:,} worlds of 20 x 20 cells and 30,000 trajectories of each method took "
        f"{sum(seconds.values()):,.0f} seconds of one core, {seconds['teacher']:,.0f} of them for "
        f"the teachers. Share of the teacher's return, 95 % intervals over worlds:",
        "",
        *table(["method", "step size", *heads, "worlds with 95 %", "median to 95 %"], rows),
    ]


def trajectory_control() -> list[str]:
    """Who acts: trajectories to 95 % of the teacher, at equal step sizes."""
    found = experiments()["control"]
    rows = []
    for number, ratio in enumerate(found["ratios"]):
        medians = [found["rows"][name][number]["recovered_median"] for name in found["rows"]]
        rows.append(
            [
                f"{ratio['rate']:g}",
                *("never" if median is None else f"{median:,.0f}" for median in medians),
                spread(ratio["mean"], ratio["low"], ratio["high"]),
            ]
        )
    heads = [f"{name.removesuffix(' distill')}" for name in found["rows"]]
    return [
        f"{found['worlds']} worlds, median number of trajectories to 95 % of the teacher:",
        "",
        *table(["step size", *heads, "teacher's over student's (geometric mean)"], rows),
    ]


def trajectory_divergences() -> list[str]:
    """KL(π‖π_θ) along three policies, after 1,000 trajectories at the step size 0.1."""
    found = experiments()["control"]
    rate = [row["rate"] for row in found["rows"]["teacher distill"]].index(0.1)
    mark = found["marks"].index(1000)
    rows = [
        [name, *(f"{value:.4f}" for value in curves[rate][mark])]
        for name, curves in found["divergences"].items()
    ]
    return table(
        ["who acted", "along the teacher", "along the student", "along random moves"], rows
    )


def trajectory_actions() -> list[str]:
    """The share at the end, by the number of actions."""
    found = {
        number: experiments()[f"actions {number}"]
        for number in (4, 32, 256, 1000)
        if f"actions {number}" in experiments()
    }
    rows = []
    for name in next(iter(found.values()))["rows"]:
        cells = [each["rows"][name] for each in found.values()]
        rows.append(
            [name, *(spread(row["share"][-1], row["low"][-1], row["high"][-1]) for row in cells)]
        )
    heads = [f"{number} actions ({each['worlds']} worlds)" for number, each in found.items()]
    return table(["method", *heads], rows)


def trajectory_last() -> list[str]:
    """The share at the end, in every other experiment."""
    found = {name: experiments()[name] for name in FINAL if name in experiments()}
    names = [name for name in ALL if any(name in each["rows"] for each in found.values())]
    rows = []
    for name in names:
        cells = [each["rows"].get(name) for each in found.values()]
        rows.append(
            [
                name,
                *(
                    "" if row is None else spread(row["share"][-1], row["low"][-1], row["high"][-1])
                    for row in cells
                ),
            ]
        )
    heads = [f"{FINAL[name]} ({each['worlds']})" for name, each in found.items()]
    return table(["method", *heads], rows)


def trajectory_differences() -> list[str]:
    """Methods compared world by world, at the end."""
    rows = []
    for name in ("thousand", "moved back", "noisy teacher", "partial view", "without end"):
        each = experiments().get(name, {})
        for pair in each.get("differences", []):
            last = pair["last"]
            rows.append(
                [
                    each["title"],
                    f"{pair['first']} less {pair['second']}",
                    f"{last['mean']:+.2f} [{last['low']:+.2f}, {last['high']:+.2f}]",
                ]
            )
    return table(["worlds", "difference at the end", "share of the teacher"], rows)


def two_colours() -> list[str]:
    """What circles and what settles."""
    found = read_json(RESULTS / "two_colours.json")
    rows = [
        [
            name,
            f"{row['turns']:.1f}",
            f"{row['loss_first']:.3f}",
            f"{row['loss_last']:.3f}",
        ]
        for name, row in found["rows"].items()
    ]
    return table(["method", "turns around p = q = ½", "loss at first", "loss at last"], rows)


def gaussian_students() -> list[str]:
    """Networks and real actions: share of the teacher's return."""
    results = read_json(RESULTS / "gaussian_students.json")
    names = list(dict.fromkeys(name for rows in results.values() for name in rows))
    lines = []
    for name in names:
        cells = [rows.get(name) for rows in results.values()]
        lines.append(
            [
                name,
                *(
                    "" if row is None else spread(row["share"], row["low"], row["high"])
                    for row in cells
                ),
            ]
        )
    heads = []
    for task, rows in results.items():
        row = next(iter(rows.values()))
        heads.append(f"{task}, {len(row['seeds'])} students, {row['transitions']:,} transitions")
    return table(["method", *heads], lines)


def difference(name: str, first: str, second: str) -> tuple[float, float, float]:
    """Of two methods at the end, with its interval."""
    for pair in experiments()[name]["differences"]:
        if (pair["first"], pair["second"]) == (first, second):
            last = pair["last"]
            return last["mean"], last["low"], last["high"]
    raise ValueError(f"{name} does not compare {first} with {second}")


def sided(low: float, high: float, above: str, below: str) -> str:
    """A verdict by an interval's side of 0."""
    return above if low > 0 else below if high < 0 else "open: the interval has 0 in it"


def signed(mean: float, low: float, high: float) -> str:
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def last_of(name: str, method: str) -> tuple[float, float, float]:
    row = experiments()[name]["rows"][method]
    return row["share"][-1], row["low"][-1], row["high"][-1]


def trajectory_claims() -> list[str]:
    """Each claim, what was found, and a verdict that follows from the interval."""
    ratios = [ratio for ratio in experiments()["control"]["ratios"] if ratio["rate"] > 0.005]
    around = all(ratio["low"] < 4 and ratio["high"] > 2 for ratio in ratios)
    fewer = all(ratio["low"] > 1 for ratio in ratios)
    found = "; ".join(
        f"{spread(ratio['mean'], ratio['low'], ratio['high'], 1)} at {ratio['rate']:g}"
        for ratio in ratios
    )
    rows = [
        [
            "With the student acting, about 3 times fewer trajectories to the teacher's return",
            f"times, at equal step sizes: {found}",
            "reproduced" if around and fewer else "not reproduced",
        ]
    ]
    own = experiments()["thousand"]["ratio"]
    rows.append(
        [
            "The same with each one's best step size",
            spread(own["mean"], own["low"], own["high"], 1),
            sided(own["low"] - 1, own["high"] - 1, "fewer, but not by 3", "more"),
        ]
    )
    partial = experiments()["partial view"]["ratio"]
    rows.append(
        [
            "The same where the student sees 3 x 3 cells",
            spread(partial["mean"], partial["low"], partial["high"], 1),
            sided(partial["low"] - 3, partial["high"] - 3, "reproduced, more than 3", "not by 3"),
        ]
    )
    colours = read_json(RESULTS / "two_colours.json")["rows"]
    circles, settles = colours["on-policy distill"], colours["N-distill"]
    rows.append(
        [
            "On-policy distillation can oscillate for ever where N-distill settles",
            f"{circles['turns']:.1f} turns, orbit kept to "
            f"{abs(circles['orbit_constant_changes_by']):.1e}; N-distill's loss "
            f"{settles['loss_first']:.2f} to {settles['loss_last']:.2f} (least: −2)",
            "reproduced, on our example of two parameters"
            if circles["turns"] > 2 and settles["loss_last"] < -1.9
            else "not reproduced",
        ]
    )
    for second in ("entropy regularised", "on-policy distill"):
        for name in ("thousand", "moved back"):
            each = difference(name, "expected entropy regularised", second)
            where = "episodes end" if name == "thousand" else "moved back"
            rows.append(
                [
                    f"Expected-entropy-regularised does better than {second} ({where})",
                    signed(*each),
                    sided(each[1], each[2], "reproduced", "refuted here"),
                ]
            )
    for number in (32, 256, 1000):
        if f"actions {number}" in experiments():
            each = difference(
                f"actions {number}", "expected entropy regularised", "entropy regularised"
            )
            rows.append(
                [
                    f"With {number} actions expected-entropy holds where entropy-regularised fails",
                    signed(*each),
                    sided(each[1], each[2], "reproduced", "refuted here"),
                ]
            )
    for method in ("teacher V shaping", "teacher V, one step", "teacher V reward"):
        share = last_of("adverse teacher", method)
        reading = {
            "teacher V shaping": "−V_π, summed",
            "teacher V, one step": "−V_πθ, one step",
            "teacher V reward": "−V_πθ, summed",
        }[method]
        rows.append(
            [
                f"The V reward ({reading}) learns beside a teacher that learnt to lose",
                f"share {spread(*share)}, imitation −1",
                sided(share[1], share[2], "reproduced", "refuted here"),
            ]
        )
    for method in ("teacher V shaping", "teacher V, one step"):
        each = difference("noisy teacher", method, "on-policy distill")
        rows.append(
            [
                f"With 25 % noise in the teacher, {method} does better than on-policy distill",
                signed(*each),
                sided(each[1], each[2], "reproduced", "refuted here"),
            ]
        )
    return table(
        ["claim", "found, share of the teacher unless said, 95 % interval", "verdict"],
        rows + without_end_rows() + gaussian_rows(),
    )


def without_end_rows() -> list[list[str]]:
    """Of the claims' table: tasks that never end."""
    if "without end" not in experiments():
        return []
    rows = []
    for first, second in (
        ("on-policy distill", "teacher distill"),
        ("N-distill", "on-policy distill"),
        ("expected entropy regularised", "on-policy distill"),
    ):
        each = difference("without end", first, second)
        rows.append(
            [
                f"Where nothing ends {first} does better than {second}",
                signed(*each),
                sided(each[1], each[2], "yes", "no"),
            ]
        )
    return rows


def gaussian_rows() -> list[list[str]]:
    """Of the claims' table: the best of the paper's methods beside what `distill` does."""
    rows = []
    for task, methods in read_json(RESULTS / "gaussian_students.json").items():
        if DISTILL not in methods:
            continue
        ours = methods[DISTILL]
        others = {name: row for name, row in methods.items() if name in METHODS}
        best = max(others, key=lambda name: others[name]["share"])
        row = others[best]
        beaten = any(each["low"] > ours["high"] for each in others.values())
        rows.append(
            [
                f"One of the six beats what `distill` does, {task}",
                f"best of {len(others)}: {best} {spread(row['share'], row['low'], row['high'])}; "
                f"{DISTILL} {spread(ours['share'], ours['low'], ours['high'])}",
                "yes" if beaten else "no: no interval lies above that of `distill`",
            ]
        )
    return rows
