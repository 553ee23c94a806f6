"""A sweep's file: what is wrong in it is reported with its line, before anything runs."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsectl import cli
from sparsectl.experiments.lines import lines_of
from sparsectl.experiments.plan import Plan, plan_of
from sparsectl.experiments.sweep_file import read_sweep
from sparsectl.training.environments.environments import keyword_arguments
from tests.training.balancer import ENVIRONMENT, write_balancer

GOOD = f"""\
[environment.pendulum]
env = "{ENVIRONMENT}"
teacher = "teacher.safetensors"

[collect]
transitions = 50

[distill]
preset = "quick"
finetune.steps = 10

[evaluate]
episodes = 2

[method.plain]
distill.method = "gradual"
[method."by magnitude"]
distill.method = "magnitude"

[grid]
seed = [0, 1]
"distill.keep" = [30, 20]
"""


PAGE = Path(__file__).parent.parent.parent / "docs" / "sweeps.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_balancer(tmp_path / "teacher.safetensors")
    return tmp_path


def planned(folder: Path, text: str = GOOD) -> Plan:
    path = folder / "sweep.toml"
    path.write_text(text)
    return plan_of(read_sweep(path))


def test_the_pages_example_and_its_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file on the page, and the line that the page shows for a misspelt prior."""
    page = PAGE.read_text(encoding="utf-8")
    [text] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    [shown] = re.findall(r"^    (sparsectl sweep: .*)$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    teacher = PAGE.parent.parent / "training" / "teachers" / "sensorsini_cartpole.onnx"
    Path(teacher.name).write_bytes(teacher.read_bytes())
    Path("priors.toml").write_text(text, encoding="utf-8")
    assert cli.run(["sweep", "priors.toml", "--dry-run"]) == 0
    Path("priors.toml").write_text(text.replace('"gaussian"', '"gausian"'), encoding="utf-8")
    capsys.readouterr()
    assert cli.run(["sweep", "priors.toml", "--dry-run"]) == 2
    assert capsys.readouterr().err.strip() == shown


def test_what_runs_share_is_one_task(folder: Path) -> None:
    plan = planned(folder)
    assert [each.run.name for each in plan.runs[:3]] == [
        "pendulum, plain, keep 30, seed 0",
        "pendulum, plain, keep 30, seed 1",
        "pendulum, plain, keep 20, seed 0",
    ]
    counts: dict[str, int] = {}
    for task in plan.tasks.values():
        counts[task.command] = counts.get(task.command, 0) + 1
    # Two datasets, by seed; eight students, each evaluated; and their one teacher.
    assert counts == {"collect": 2, "distill": 8, "evaluate": 9}
    assert len({each.teacher for each in plan.runs}) == 1
    names = list(plan.tasks)
    for task in plan.tasks.values():
        assert all(names.index(each.name) < names.index(task.name) for each in task.inputs.values())


def test_an_empty_list_is_the_option_without_values(folder: Path) -> None:
    plan = planned(folder, GOOD.replace('"gradual"', '"gradual"\ndistill.hidden = []'))
    words = {each.run.table: plan.tasks[each.tasks["distill"]].words(folder) for each in plan.runs}
    assert "--hidden" in words["plain"] and "--hidden" not in words["by magnitude"]


@pytest.mark.parametrize(
    "table",
    [
        "env_kwargs = { max_episode_steps = 7, render_mode = 'rgb_array' }",
        'env_kwargs = [{ max_episode_steps = 7 }, "render_mode=rgb_array"]',
        "[environment.pendulum.env_kwargs]\nmax_episode_steps = 7\nrender_mode = 'rgb_array'",
    ],
)
def test_arguments_of_an_environment_may_be_a_table(folder: Path, table: str) -> None:
    plan = planned(folder, GOOD.replace("[collect]", f"{table}\n[collect]"))
    for each in plan.runs:
        config = cli.parse(["collect", *plan.tasks[each.tasks["collect"]].words(folder)])
        given = keyword_arguments(config.env_kwargs)
        assert given == {"max_episode_steps": 7, "render_mode": "rgb_array"}


def test_each_table_in_the_grid_is_a_value(folder: Path) -> None:
    limits = "env_kwargs = [{ max_episode_steps = 7 }, { max_episode_steps = 9 }]"
    plan = planned(folder, f"{GOOD}{limits}\n")
    for each in plan.runs:
        config = cli.parse(["collect", *plan.tasks[each.tasks["collect"]].words(folder)])
        [(name, limit)] = keyword_arguments(config.env_kwargs).items()
        assert f'env-kwargs {{"{name}": {limit}}}' in each.run.method
    limits = {each.run.method.partition("max_episode_steps")[2][:4] for each in plan.runs}
    assert limits == {'": 7', '": 9'}


def test_a_tasks_name_follows_from_what_its_result_follows_from(folder: Path) -> None:
    plan = planned(folder)
    assert planned(folder, "# a comment\n" + GOOD).digest == plan.digest
    assert planned(folder, GOOD + "[distill.evidence]\n").digest == plan.digest
    same = GOOD.replace("episodes = 2", "episodes = 3")
    other = planned(folder, same)
    kinds = {name.partition("-")[0] for name in plan.tasks.keys() & other.tasks.keys()}
    assert kinds == {"collect", "distill"} and other.digest != plan.digest
    (folder / "copy.safetensors").write_bytes((folder / "teacher.safetensors").read_bytes())
    assert planned(folder, GOOD.replace("teacher.s", "copy.s")).digest == plan.digest
    with (folder / "teacher.safetensors").open("ab") as file:
        file.write(b" ")
    try:
        assert not planned(folder).tasks.keys() & plan.tasks.keys()
    except Exception as error:  # the file may be refused, for it was changed
        assert "teacher" in str(error)


@pytest.mark.parametrize("is_package", [False, True])
def test_a_changed_environment_of_ones_own_is_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_package: bool
) -> None:
    name = f"of_ones_own_{is_package}".lower()
    file = folder / (f"{name}/inner.py" if is_package else f"{name}.py")
    file.parent.mkdir(exist_ok=True)
    (file.parent / "__init__.py").touch()
    code = f"from gymnasium import make\n\ndef Own():\n    return make('{ENVIRONMENT}')\n"
    file.write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    place = f"{name}.inner:Own" if is_package else f"{name}:Own"
    text = GOOD.replace(f'env = "{ENVIRONMENT}"', f'env = "{place}"')
    before = planned(folder, text)
    assert planned(folder, text).digest == before.digest
    file.write_text(code + "# a change\n")
    after = planned(folder, text)
    assert len(after.tasks) == len(before.tasks) and not after.tasks.keys() & before.tasks.keys()


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("[collect]", "[colect]", 5, ("'colect'", "perhaps you meant 'collect'")),
        ("transitions =", "transition =", 6, ("no setting 'transition'", "'transitions'")),
        ("finetune.steps", "finetune.stepps", 10, ("'finetune.stepps'", "'finetune.steps'")),
        ("transitions = 50", "transitions = -5", 6, ("transitions is -5",)),
        ("transitions = 50", "transitions = 0.5", 6, ("--transitions", "not '0.5'")),
        ("transitions = 50", "transitions = [5]", 6, ("--transitions takes one value",)),
        ("episodes = 2", "episodes = true", 13, ("--episodes", "not 'True'")),
        ('"gradual"', '"gradul"', 16, ("'gradul'", "perhaps you meant 'gradual'")),
        ('"InvertedPendulum-v5"', '"InvertedPendulm-v5"', 2, ("'InvertedPendulum-v5'",)),
        ("teacher.safetensors", "none.onnx", 3, ("no such file: none.onnx",)),
        ("[30, 20]", "[30, -20]", 22, ("keep is -20",)),
        ("[30, 20]", "[30, 100_000_000]", 22, ("keep is 100,000,000", "at most")),
        ("[30, 20]", "[]", 22, ("empty list",)),
        ("[evaluate]", "[export]\nboard = []\n[evaluate]", 13, ("empty list",)),
        ("[0, 1]", '[0, "1"]', 21, ("seed is '1'",)),
        ("[0, 1]", f"[0, {[*range(999)]}]", 21, ("seed is [0, 1, ", "or several under [grid]")),
        ("seed = [0, 1]", "seed = [0, 0]", 20, ("asked for twice",)),
        ("finetune.steps = 10", "loss = 'nll'", 10, (f"{ENVIRONMENT} has continuous",)),
        ('"gradual"', '"policy-distillation"', 16, (f"{ENVIRONMENT} has continuous",)),
        ("teacher =", "teach.steps = 9\nteacher =", 3, ("teach would train a teacher",)),
        ("[environment.pendulum]", "teach.steps = 9", 1, ("leave one of them out",)),
        ("[evaluate]", "[evaluate]\ntask = 0", 13, ("task is 0", "of one task; leave it out")),
        ("finetune.steps = 10", "temperature = 0", 10, ("temperature is 0; give a finite",)),
        ("finetune.steps = 10", "temperature = nan", 10, ("temperature is nan; give a finite",)),
        ("finetune.steps = 10", "learning_rate = inf", 10, ("it must be finite and more than 0",)),
        ("finetune.steps = 10", "loss = 'nll'\ntemperature = 2", 11, ("loss nll has none",)),
        ("teacher =", "env_kwargs = { born = 1979-05-27 }\nteacher =", 3, ("give numbers, text",)),
        ("teacher =", 'env_kwargs = "{"\nteacher =', 3, ("env-kwargs is '{', which is not JSON",)),
        ("[grid]", '[grid]\nwrapper = ["module:A"]', 21, ('such as [["module:Class"]',)),
        ("[grid]", '[grid]\nmethod = ["plane"]', 21, ("'plane'", "'plain'")),
        ("[grid]", '[grid]\n"distill.hidden" = [8, 8]', 21, ("[[64, 64], [128, 128]]",)),
        ("[evaluate]", '[export]\nencoding = "packed-int9"\n[evaluate]', 13, ("'packed-int8'",)),
        ("[evaluate]", '[bench]\nboard = "cortex-m9"\n[evaluate]', 13, ("'cortex-m",)),
        ("[evaluate]", '[evaluate]\ntrace = "t.npz"', 13, ("cannot be given in a sweep",)),
        ("[collect]\n", "[collect]\nout = 'x'\n", 6, ("cannot be given in a sweep",)),
        ("[collect]\ntransitions = 50", "collect = 3", 5, ("collect is 3; write collect.SETTING",)),
        ("[distill]", "[[export]]\n[distill]", 8, ("write [export] above its settings",)),
        ('"distill.keep" = ', "distill = ", 22, ('such as "distill.SETTING" = [1, 2]',)),
        ("distill.method", "seed = 1\ndistill.method", 16, ("seed cannot be of one method",)),
        ("by magnitude", "by\\nmagnitude", 17, ("character that cannot be printed",)),
        ("by magnitude", "by" * 51, 17, ("102 characters; give it 100",)),
        ("preset =", 'dataset = "{student}"\npreset =', 9, ("makes none before it",)),
    ],
)
def test_a_mistake_is_told_with_its_line(
    folder: Path,
    before: str,
    after: str,
    line: int,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert before in GOOD
    path = folder / "sweep.toml"
    path.write_text(GOOD.replace(before, after, 1), encoding="utf-8-sig")
    out = folder / "out"
    assert cli.run(["sweep", str(path), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and f"{path}, line {line}: " in said[0], said
    assert all(word in said[0] for word in words), said
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('method = "td3bc"', "method is td3bc, which is for continuous actions, but CartPole-v1"),
        ('method = "bc"', "method is bc, which is for continuous actions, but CartPole-v1"),
        ("value_weight = 1.0", "critics need continuous actions, and CartPole-v1 has choices"),
        ("search.generations = 3", "the actions are choices"),
        ('method = "policy-distillation"', ""),
    ],
)
def test_a_setting_for_continuous_actions_is_refused_where_they_are_choices(
    folder: Path, setting: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "sweep.toml"
    head = 'env = "CartPole-v1"\n[teach]\nalgo = "dqn"\n[collect]\n'
    path.write_text(f"{head}[distill]\nkeep = 60\n{setting}\n[grid]\n")
    code = cli.run(["sweep", str(path), "--out", str(folder / "out"), "--dry-run"])
    said = capsys.readouterr().err
    assert (code, f"line 7: distill: {setting.split()[0]}" in said) == (
        (2, True) if words else (0, False)
    )
    assert words in said


def test_the_teacher_beside_a_student_of_several_tasks_has_no_task(folder: Path) -> None:
    """Files are given in place of a collected dataset; their content is read when it is used."""
    for name in ("a.npz", "b.npz"):
        (folder / name).touch()
    several = 'dataset = ["a.npz", "b.npz"]\nteacher = "None"\nenv = "None"\npreset'
    text = GOOD.replace("preset", several).replace("[evaluate]", "[evaluate]\ntask = 1")
    plan = planned(folder, text)
    for each in plan.runs:
        assert plan.tasks[each.tasks["evaluate"]].settings["task"] == 1
        assert each.teacher and "task" not in plan.tasks[each.teacher].settings


def test_what_is_not_installed_is_asked_of_the_chosen_runs_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sbx", None)
    lines = ["[environment.taught]", f'env = "{ENVIRONMENT}"', "[teach]", 'backend = "sbx"', ""]
    path = folder / "sweep.toml"
    path.write_text("\n".join(lines) + GOOD)
    words = ["sweep", str(path), "--out", str(folder / "out"), "--dry-run"]
    assert cli.run([*words, "--environment", "pendulum"]) == 0
    capsys.readouterr()
    for chosen in ([], ["--environment", "taught"]):
        assert cli.run([*words, *chosen]) == 2
        said = capsys.readouterr().err.strip()
        assert f"{path}, line 4: teach: the backend sbx is not installed" in said


RUBBISH = ["a = ", "\x00", "[grid", "grid = 3", "method = 1", "x" * 100]
DEEP = ["a = " + "[" * 9_000 + "]" * 9_000, ".".join("a" * 9_000) + " = 1"]


@pytest.mark.parametrize("text", [*RUBBISH, *DEEP], ids=lambda text: text[:10])
def test_rubbish_is_refused_by_name(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "sweep.toml"
    path.write_text(text)
    assert cli.run(["sweep", str(path), "--out", str(folder / "out")]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_grid_that_is_too_large_is_counted_and_not_made(folder: Path) -> None:
    seeds = list(range(1000))
    with pytest.raises(Exception, match="2,000,000 runs; give 100,000 at most"):
        planned(folder, GOOD.replace("[0, 1]", f"{seeds}").replace("[30, 20]", f"{seeds}"))


def test_several_grids_are_a_list_of_runs(folder: Path) -> None:
    grids = '[[grid]]\nmethod = "plain"\nseed = 3\n[[grid]]\nmethod = "by magnitude"\n'
    plan = planned(folder, GOOD[: GOOD.index("[grid]")] + grids + "seed = [1, 2]\n")
    names = [each.run.name for each in plan.runs]
    assert names == [
        "pendulum, plain, seed 3",
        "pendulum, by magnitude, seed 1",
        "pendulum, by magnitude, seed 2",
    ]


KEYS = st.text("ab_-", min_size=1, max_size=3)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text("ab#[]=\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"""\n' + value + '"""'
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(as_toml, value)) + "\n]"
    inner = ", ".join(f"{key} = {as_toml(each)}" for key, each in value.items())
    return "{" + inner + "}"


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
@settings(max_examples=60, deadline=None)
def test_each_key_is_found_in_its_line(tables: dict[str, dict[str, Any]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for name, table in tables.items():
        lines += ["", "# [no.table]", f"[{name}] # a table"]
        expected[name,] = len(lines)
        for key, value in table.items():
            expected[name, key] = len(lines) + 1
            lines += f"{key} = {as_toml(value)}".split("\n")
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # an inline table with a value over several lines
        return
    found = lines_of(text)
    assert {place: found[place] for place in expected} == expected
