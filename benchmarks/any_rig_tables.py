"""The tables of the policies for any pendulum, from benchmarks/results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsectl.common.files import read_json
from sparsectl.plants.drawing import draw_rig, figures_of
from sparsectl.plants.task import EPISODE_STEPS

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Words:
    """How the rigs of a family are called in the tables, and the file of their trials as C."""

    policy: str
    rigs: str
    rig: str
    base: str
    shipped: str
    trials: str
    anchor: str
    """Heading of the trials' section in docs/results.md, as a link names it."""


WORDS = {
    "cartpole": Words(
        "any-cartpole",
        "cart-poles",
        "cart-pole",
        "cart",
        "sensorsini_cartpole",
        "trials_on_drawn_rigs.json",
        "one-policy-on-drawn-cart-poles",
    ),
    "furuta": Words(
        "any-furuta",
        "rotary pendulums",
        "rotary pendulum",
        "arm",
        "qube_servo2",
        "trials_on_drawn_furutas.json",
        "one-policy-on-drawn-rotary-pendulums",
    ),
}


def any_rig(name: str = "cartpole") -> list[str]:
    """On how many rigs of a family that were never drawn before it balances, and where not."""
    words, results = WORDS[name], read_json(RESULTS / "any_rig.json")
    rows = results["families"][name]["rows"]
    drawn = rows["student"]["drawn"]
    option = "" if name == "cartpole" else f" --family {name}"
    lines = [
        f"`python benchmarks/any_rig.py measure{option} --rigs {drawn['rigs']}` runs a "
        f"trial of 45 s on each of as many drawn {words.rigs}, on none of which anything was "
        "trained or chosen. It counts where the pole is up within 15 s and stays up for the other "
        "30 s:",
        "",
        f"| driven by | drawn {words.rigs} | 95 % interval | swing-up, median | mean reward of "
        f"10 s | shipped {words.rig}, randomised |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    who = {
        "teacher": "the controller that knows the masses",
        "law": "the same without looking ahead",
        "student": f"`{words.policy}`",
    }
    lines += [_row(said, rows[each]) for each, said in who.items() if each in rows]
    lines += ["", _words(drawn, words)]
    return lines + _firmware(words)


def any_rig_marks(name: str = "cartpole") -> list[str]:
    """The marks of one policy for all rigs of a family, and what was reached."""
    words, family = WORDS[name], read_json(RESULTS / "any_rig.json")["families"][name]
    rows, own = family["rows"], family["own"]
    teacher, student = (rows[name]["drawn"] for name in ("teacher", "student"))
    reward = f"{student['mean_reward'] / teacher['mean_reward']:.1%}"
    if "law" in rows:
        share = student["mean_reward"] / rows["law"]["drawn"]["mean_reward"]
        reward += f"; {share:.1%} of the same without looking ahead"
    on_own = rows["teacher"]["shipped"]["mean_reward"]
    return [
        "| what | mark | reached |",
        "| --- | --- | --- |",
        f"| drawn {words.rigs} that it swings up and balances for 30 s | at least 95 % | "
        f"{student['share']:.1%} [{student['share_low']:.1%}, {student['share_high']:.1%}], the "
        f"controller that knows the masses {teacher['share']:.1%} |",
        f"| mean reward of the first 10 s, of that controller's | at least 95 % | {reward} |",
        f"| return in {own['episodes']} randomised episodes of `{words.shipped}`, of the "
        f"teacher's that was trained for it | at least 95 % | {own['share']:.1%} "
        f"[{own['share_low']:.1%}, {own['share_high']:.1%}]; {own['student']:.0f} of "
        f"{own['teacher']:.0f} |",
        "",
        _ceiling(words, on_own, own["teacher"] / EPISODE_STEPS),
        "",
        _where(student),
        "",
        *(_other(file, paired, rows[file], words) for file, paired in family["paired"].items()),
    ]


def _ceiling(words: Words, controller: float, own: float) -> str:
    """What the controller that is imitated reaches on the shipped rig, beside its own teacher."""
    said = (
        f"On that {words.rig} the controller that knows the masses has a mean reward of "
        f"{controller:.2f}"
    )
    if controller < 0.95 * own:
        return f"{said}, so that no student by imitation alone reaches the own teacher's {own:.2f}."
    return f"{said} over 10 s, and the own teacher {own:.2f} over its episodes."


def _where(drawn: dict[str, Any]) -> str:
    """Which rigs it fails on: how many of each fifth, by one of their numbers."""
    fifths = drawn["failed_by_fifths"]

    def share(name: str, part: int) -> str:
        return f"{fifths[name][part]:.0%}"

    return (
        f"It fails on {share('travel_lengths', 0)} of the fifth of rigs with the least travel in "
        f"lengths of the pole ({share('travel_lengths', -1)} of the fifth with the most), on "
        f"{share('push_m_s2', 0)} of those with the weakest push ({share('push_m_s2', -1)} with "
        f"the strongest), on {share('length_m', -1)} of those with the longest poles "
        f"({share('length_m', 0)} with the shortest) and on {share('speed_m_s', -1)} of those with "
        f"the fastest motors ({share('speed_m_s', 0)} with the slowest)."
    )


def _other(name: str, paired: dict[str, Any], row: dict[str, Any], words: Words) -> str:
    """Another student beside the shipped one."""
    drawn, shipped = row["drawn"], row["shipped"]
    return (
        f"`{name}.safetensors` in `benchmarks/results/` balances {drawn['balanced']} of the same "
        f"{drawn['rigs']} rigs, a difference of {paired['difference']:+.1%} "
        f"[{paired['difference_low']:+.1%}, {paired['difference_high']:+.1%}] "
        f"({paired['only_other']} rigs it alone, {paired['only_student']} the shipped one alone, "
        f"p = {paired['p']:.2g}), and {shipped['balanced']} of {shipped['rigs']} trials of the "
        f"shipped {words.rig}."
    )


def any_rig_students() -> list[str]:
    """GRUs of several sizes, cut and whole, and stacked frames, each beside the first."""
    results = read_json(RESULTS / "any_rig_students.json")
    rows, budget = results["rows"], results["budget"]
    first = next(iter(rows.values()))
    lines = [
        "| student | weights | bytes of past in RAM | balances | 95 % interval | the first alone | "
        "this alone | ATmega328P: cycles | flash |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        apart = ("", "") if row is first else _apart(first, row)
        chip = (f"{row['cycles']:,}", f"{row['flash']:,} B") if "cycles" in row else ("", "")
        cells = (
            name,
            f"{row['weights']:,}",
            f"{row['state_bytes']}",
            f"{row['balanced']} of {row['rigs']} ({row['share']:.1%})",
            f"{row['low']:.1%} to {row['high']:.1%}",
            *apart,
            *chip,
        )
        lines.append(f"| {' | '.join(cells)} |")
    encodings = ", ".join(
        dict.fromkeys(row["encoding"] for row in rows.values() if "cycles" in row)
    )
    return [
        *lines,
        "",
        f"{budget['rounds']} rounds of {budget['rigs']} rigs of {budget['ticks']} ticks, with "
        f"{budget['updates']} passes each. The first alone, this alone: rigs that one of the two "
        f"balances and the other does not. Cycles of the fastest encoding of 8 bits: {encodings}.",
    ]


def teacher_a_rig() -> list[str]:
    """Teachers that were trained for a drawn rig each, beside the policy that has not seen it."""
    lines = ["| rig | steps of SAC | its own teacher's return | the policy for any rig | share |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in read_json(RESULTS / "teacher_a_rig.json")["rows"]:
        own, any_rig = (sum(row[who]) / len(row[who]) for who in ("teacher", "student"))
        lines.append(
            f"| {WORDS[row['family']].rig} {row['rig']:,} | {row['steps']:,} | {own:.1f} "
            f"| {any_rig:.1f} | {own / any_rig:.1%} |"
        )
    return lines


def one_or_two_policies() -> list[str]:
    """A student for each family beside one for both."""
    results = read_json(RESULTS / "one_or_two_policies.json")
    budget = results["budget"]
    lines = ["| taught | drawn cart-poles | drawn rotary pendulums |", "| --- | --- | --- |"]
    for name, row in results["rows"].items():
        cells = [
            f"{each['balanced']} of {each['rigs']}, {each['low']:.1%} to {each['high']:.1%}"
            for each in (row["cartpole"], row["furuta"])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"{budget['rounds']} rounds of either family, of {budget['rigs']} rigs of "
        f"{budget['ticks']} ticks, with {budget['updates']} passes each. In each cell the rigs "
        "that it balances and the 95 % interval of their share.",
    ]


def _apart(first: dict[str, Any], row: dict[str, Any]) -> tuple[str, str]:
    """How many rigs the first alone balances, and how many the other."""
    one, other = set(first["failed"]), set(row["failed"])
    return str(len(other - one)), str(len(one - other))


def adapted() -> list[str]:
    """Rigs on which the policies for any pendulum fail, before and after `sparsectl adapt`."""
    results = read_json(RESULTS / "adapted.json")
    lines = [
        "| drawn rig | the policy for any of them, as C | adapted, as C | drawn from the narrowed "
        "ranges, before | after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in results["rigs"].items():
        family, _, number = name.partition("_")
        before, after, drawn = row["before"], row["after"], row["drawn"]
        shares = [
            f"{drawn[when]['share']:.0%} [{drawn[when]['low']:.0%}, {drawn[when]['high']:.0%}]"
            for when in ("before", "after")
        ]
        lines.append(
            f"| {WORDS[family].rig} {int(number):,} | {before['balanced']} of {before['trials']} "
            f"trials | {after['balanced']} of {after['trials']} trials | {shares[0]} | "
            f"{shares[1]} |"
        )
    return lines


def _row(name: str, row: dict[str, Any]) -> str:
    drawn, shipped = row["drawn"], row["shipped"]
    cells = (
        name,
        f"{drawn['balanced']} of {drawn['rigs']} ({drawn['share']:.1%})",
        f"{drawn['share_low']:.1%} to {drawn['share_high']:.1%}",
        f"{drawn['swing_up_s_median']:.1f} s",
        f"{drawn['mean_reward']:.2f}",
        f"{shipped['balanced']} of {shipped['rigs']}, reward {shipped['mean_reward']:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def _words(drawn: dict[str, Any], words: Words) -> str:
    """How it fails, on which rigs, and what the worst hundredth is like."""
    medians, worst = drawn["medians"], drawn["worst"]
    push, travel = medians["push_m_s2"], medians["travel_lengths"]
    failed, met = drawn["rigs"] - drawn["balanced"], sum(each["met_limit"] for each in worst)
    never = len(worst) - met - sum(each["balanced"] for each in worst)
    return (
        f"Of the {failed} rigs on which it failed, the {words.base} met its limit on "
        f"{drawn['met_limit']}, the pole was up too late on {drawn['late']} and not up at "
        f"the end on {drawn['not_up_at_end']}. At the median these push the hinge with "
        f"{push['failed']:.1f} m/s² (the others {push['balanced']:.1f}) and travel "
        f"{travel['failed']:.2f} lengths of the pole's equivalent pendulum to either side (the "
        f"others {travel['balanced']:.2f}). The worst hundredth, {len(worst)} rigs, has a mean "
        f"reward of {drawn['mean_reward_worst_hundredth']:.3f}: {met} of them met the limit, and "
        f"{never} never came up to stay."
    )


def _firmware(words: Words) -> list[str]:
    """The same with the C firmware, where it has been measured."""
    path = RESULTS / words.trials
    if not path.exists():
        return []
    results = read_json(path)
    count = len(results["rigs"])
    link = "how the others ended" if results["failed"] else "these trials"
    return [
        "",
        "As C in the firmware of the `host` board, in lockstep with MuJoCo, with all of the "
        f"board's checks: {round(results['share'] * count)} of {count} drawn {words.rigs} "
        f"({results['share']:.1%}, 95 % interval {results['share_low']:.1%} to "
        f"{results['share_high']:.1%}; [{link}](results.md#{words.anchor})).",
    ]


def drawn_trials(name: str = "cartpole") -> list[str]:
    """Trials of the C firmware on drawn rigs: how many balanced, how the others ended, and the
    worst hundredth."""
    results = read_json(RESULTS / WORDS[name].trials)
    rows = results["rigs"]
    balanced = [row for row in rows if row["balanced"]]
    times = sorted(row["swing_up_seconds"] for row in balanced)
    spans = " and ".join(f"{first:,} to {last:,}" for first, last in results["spans"])
    lines = [
        f"Rigs {spans} of `plants/ranges/{name}.toml`, none of which was drawn in training; each "
        "has a firmware of its own.",
        "",
        "| trials | balanced | 95 % interval | swing-up, median |",
        "| --- | --- | --- | --- |",
        f"| {len(rows)} | {len(balanced)} ({results['share']:.1%}) | {results['share_low']:.1%} to "
        f"{results['share_high']:.1%} | {times[len(times) // 2]:.1f} s |",
    ]
    if not results["failed"]:
        return lines
    lines += ["", "| how the others ended | trials |", "| --- | --- |"]
    lines += [f"| {how} | {count} |" for how, count in results["failed"].items()]
    worst = "; ".join(_worst(row, name) for row in results["worst"])
    return [*lines, "", f"The worst hundredth, {len(results['worst'])} of them: {worst}."]


def _worst(row: dict[str, Any], family: str) -> str:
    rig = draw_rig(family, row["rig"])
    figures = figures_of(rig)
    lengths = rig.base.limit * rig.lever_m / figures.length_m
    return (
        f"rig {row['rig']:,} (the motor pushes the hinge with {figures.push:.1f} m/s² up to "
        f"{figures.speed:.1f} m/s, {lengths:.2f} lengths of the pole's "
        f"equivalent pendulum to either side, {rig.period_s * 1e3:g} ms) balanced for "
        f"{row['balanced_seconds']:.1f} s: {row['how']}"
    )
