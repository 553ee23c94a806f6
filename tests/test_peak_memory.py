"""The record of what each test file takes of memory tells one that takes much from one that does
not, in the process itself and in what it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sparsectl.common.files import read_json
from tests.peak_memory import CHILDREN, OWN, TOGETHER

ROOT = Path(__file__).resolve().parent.parent
HOLD = "b'x' * 330_000_000"
FILES = {
    "test_itself.py": f"def test_it() -> None:\n    assert len({HOLD}) > 0\n",
    "test_little.py": "def test_it() -> None:\n    assert True\n",
    "test_another.py": (
        "import subprocess, sys, time\n\ndef test_it(request) -> None:\n"
        f'    code = "held = {HOLD}; print(1, flush=True); input()"\n'
        "    pipe = subprocess.PIPE\n"
        "    program = subprocess.Popen([sys.executable, '-c', code], stdin=pipe, stdout=pipe)\n"
        "    assert program.stdout.readline()\n"
        "    watch = request.config.pluginmanager.get_plugin('peak memory')\n"
        "    while watch.now['greatest_child_mb'] < 300:\n"
        "        time.sleep(0.01)\n"
        "    program.communicate(b'\\n')\n"
    ),
}


def test_each_file_has_its_own_peak(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    record = tmp_path / "record.json"
    words = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    given = {"SPARSECTL_PEAK_MEMORY": str(record), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*words, "--rootdir", str(tmp_path), str(tmp_path)],
        env={n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")} | given,
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert [path.name for path in tmp_path.glob("record.json*")] == ["record.json"]
    files = read_json(record)["files"]
    assert set(files) == set(FILES)
    itself, another, little = (files[f"test_{name}.py"] for name in ("itself", "another", "little"))
    assert itself[OWN] > 300 > itself[CHILDREN]
    assert 0 < little[OWN] < 200 and little[CHILDREN] == 0 and 0 < little[TOGETHER] < 200
    assert another[OWN] < 200 and another[CHILDREN] > 300 and another[TOGETHER] > 300
