"""A sweep on a Ray cluster of two nodes, one of which dies: nothing is lost, nothing done twice."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsectl import cli
from tests.training.balancer import ENVIRONMENT, write_balancer

ray = pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
PATIENCE_S = 300.0
"""What takes longer is taken for a hang; nothing here depends on how long it takes."""
NAMES = ("free", "one", "two", "three")
STORE_BYTES = 100 * 2**20


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs that wait for a gate."""
    shutil.copy(Path(__file__).parent / "gate.py", tmp_path / "gate.py")
    write_balancer(tmp_path / "teacher.safetensors")
    environments = "".join(
        f'[environment.{name}]\nenv = "gate:Gate"\nenv_kwargs = ["name={name}"]\n' for name in NAMES
    )
    shared = 'teacher = "teacher.safetensors"\n[evaluate]\nepisodes = 1\n'
    (tmp_path / "s.toml").write_text(shared + environments)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def cluster(folder: Path) -> Iterator[Any]:
    """A head and a node, of one core each."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


def started(folder: Path, name: str) -> list[int]:
    """The processes that began the run."""
    path = folder / f"started-{name}"
    return sorted(set(map(int, path.read_text().split()))) if path.exists() else []


def test_a_node_that_dies_takes_nothing_along(folder: Path, cluster: Any) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    out = folder / "out"
    words = [*("-m", "sparsectl", "sweep", str(folder / "s.toml"), "--json")]
    words += ["--out", str(out), "--ray", cluster.address]
    with (folder / "stderr").open("wb") as errors:
        sweep = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=errors)
    try:
        until(lambda: sum(bool(started(folder, name)) for name in NAMES) == 3)
        until(lambda: len(list(out.glob("tasks/*/done.json"))) == 1)
        cluster.remove_node(node, allow_graceful=False)
        (folder / "go").touch()
        output, _ = sweep.communicate(timeout=PATIENCE_S)
    finally:
        sweep.kill()
    said = (folder / "stderr").read_text()
    assert sweep.returncode == 0, said
    result = json.loads(output)
    assert (result["runs"], result["done"], result["failed"]) == (4, 4, 0)
    assert len(list(out.glob("tasks/*/done.json"))) == 4
    counts = [len(started(folder, name)) for name in NAMES]
    # What the lost node was at ran twice, on one node after the other; all else once.
    assert counts[0] == 1 and sorted(counts) == [1, 1, 1, 2]
    [lost] = [name for name in NAMES if len(started(folder, name)) == 2]
    until(lambda: not any(map(is_alive, started(folder, lost))))


def is_alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def test_an_address_where_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = write_balancer(tmp_path / "teacher.safetensors")
    file = tmp_path / "s.toml"
    file.write_text(f'env = "{ENVIRONMENT}"\nteacher = "{teacher}"\n[evaluate]\nepisodes = 1\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, and nothing listens
        for address in (f"127.0.0.1:{port}", "nonsense", ":1", "host:0"):
            words = ["sweep", str(file), "--out", str(tmp_path / "out"), "--ray", address]
            assert cli.run(words) == 2
            said = capsys.readouterr().err.strip()
            assert repr(address) in said and "ray start --head" in said and "\n" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("answer", [b"HTTP/1.0 400 Bad request\r\n\r\n", b"hello", b""])
def test_an_address_of_another_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    """Ray itself would ask it for minutes."""
    teacher = write_balancer(tmp_path / "teacher.safetensors")
    file = tmp_path / "s.toml"
    file.write_text(f'env = "{ENVIRONMENT}"\nteacher = "{teacher}"\n[evaluate]\nepisodes = 1\n')
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        words = ["sweep", str(file), "--out", str(tmp_path / "out"), "--ray", address]
        assert cli.run(words) == 2
        serving.join()
    said = capsys.readouterr().err.strip()
    assert f"ray is '{address}', and what answers there is not Ray" in said and "\n" not in said
