"""The advice of the page on methods, each line with what was measured here."""

from __future__ import annotations

from distillation_tables import difference, experiments, last_of, signed, spread, table

TEACHER, STUDENT, SHAPING = "teacher distill", "on-policy distill", "teacher V shaping"
N_DISTILL = "N-distill"
EXPECTED, PLAIN = "expected entropy regularised", "entropy regularised"


def last(name: str, method: str) -> str:
    """The share at the end, with its interval."""
    return spread(*last_of(name, method))


def pair(name: str, first: str, second: str) -> str:
    """How much more one method ends with than another, world by world."""
    return signed(*difference(name, first, second))


def trajectory_advice() -> list[str]:
    """A row a case: what to take, and the figures that say so."""
    control = next(each for each in experiments()["control"]["ratios"] if each["rate"] == 0.01)
    ratio = spread(control["mean"], control["low"], control["high"], 1)
    thousand = experiments()["thousand"]["rows"]
    rows = [
        [
            "A good teacher that can be asked in any state",
            "`sparsectl distill` as it is: imitation, then rounds in which the student acts",
            f"{ratio} times fewer trajectories to the teacher's return than where the teacher "
            f"acts; {last('thousand', STUDENT)} at the end",
        ],
        [
            "A dataset alone, the teacher is gone",
            "imitation of the dataset; collect it with noise (`collect --noise 0.3`)",
            f"{last('thousand', TEACHER)} at the end; "
            f"{100 * thousand[TEACHER]['recovered']:.0f} % of the worlds reach 95 % of a teacher "
            "whose actions have 10 % of noise",
        ],
        [
            "The student sees less than the teacher",
            "rounds in which the student acts; where the task has a reward, the V reward with "
            "−V_π ends higher, much later",
            f"the student acts {last('partial view', STUDENT)}, the V reward "
            f"{last('partial view', SHAPING)}; the V reward's less the other's "
            f"{pair('partial view', SHAPING, STUDENT)}",
        ],
        [
            "Guaranteed convergence matters more than speed",
            "N-distill, with a small step size: it follows a gradient, on-policy distillation "
            "need not",
            f"{pair('thousand', N_DISTILL, STUDENT)} beside on-policy distillation after 30,000 "
            "trajectories; it settles where the other [circles](#a-circle-and-its-cure)",
        ],
        [
            "Many actions and only log π of what was done",
            "expected-entropy-regularised before entropy-regularised",
            f"{pair('actions 1000', EXPECTED, PLAIN)} with 1,000 actions, "
            f"{pair('thousand', EXPECTED, PLAIN)} with four",
        ],
        [
            "A poor or hostile teacher, and a reward",
            "the V reward with −V_π(s_i), or one step of it",
            f"{last('adverse teacher', SHAPING)} beside a teacher that learnt to lose, imitation "
            f"{last('adverse teacher', TEACHER)}; with 25 % of noise no gain is shown: "
            f"{pair('noisy teacher', SHAPING, STUDENT)}",
        ],
    ]
    return table(["your case", "take", "measured here, share of the teacher unless said"], rows)
