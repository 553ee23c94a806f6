"""What lies beside a journal may be anybody's: it reads, writes and runs no more than it may."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sparsectl.common.errors import UserError
from sparsectl.firmware_host.boards import find_board
from sparsectl.firmware_host.compiler import compile_object, link
from sparsectl.hil.journal.journal import JournalWriter, read_journal
from sparsectl.hil.replay import replay as replaying
from sparsectl.hil.replay.config import ReplayConfig
from sparsectl.hil.replay.confined import STATIC, ConfinedProgram, confined_compilers
from sparsectl.hil.replay.replay import replay
from sparsectl.hil.trial.trial import run_trial
from tests.hil.policies import export_graph, timid_graph
from tests.hil.trial.test_trial import Short
from tests.tools import need

TRIES = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
__attribute__((constructor)) static void early(void) {
    open(TARGET "-early", O_CREAT | O_RDWR, 0600);
}
#define TRY(call) (errno = 0, printf("%s %d\\n", #call, (call) < 0 ? errno : 0))
int main(void) {
    TRY(open("/etc/passwd", O_RDONLY));
    TRY(open(TARGET, O_CREAT | O_RDWR, 0600));
    TRY(unlink(VICTIM));
    TRY(socket(AF_INET, SOCK_STREAM, 0));
    TRY(socket(AF_UNIX, SOCK_STREAM, 0));
    TRY(fork());
    TRY(kill(getppid(), 0));
    TRY(memfd_create("x", 0));
    TRY(dup(0));
    TRY(chdir("/"));
    TRY((int)write(2, "x", 1));
    TRY(execl("/bin/true", "true", (char *)0));
    fflush(stdout);
    char given = 0;
    return read(0, &given, 1) == 1 && given == 'y' ? 0 : 9;
}
"""


def test_a_program_has_nothing_but_its_pipe(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "target"
    victim.write_text("here")
    source, program = tmp_path / "tries.c", tmp_path / "tries"
    source.write_text(TRIES)
    names = (f'-DTARGET="{target}"', f'-DVICTIM="{victim}"')
    need("gcc")
    subprocess.run(["gcc", *names, str(source), "-o", str(program), *STATIC], check=True)
    assert victim.exists()
    with ConfinedProgram(program) as confined:
        reported = b""
        while reported.count(b"\n") < 12:
            reported += confined.read(1)
        confined.write(b"y")
        assert confined._process.wait(10) == 0
    allowed = [line for line in reported.decode().splitlines() if line.endswith(" 0")]
    assert allowed == []
    assert victim.read_text() == "here"
    assert not target.exists() and not Path(f"{target}-early").exists()


@pytest.mark.parametrize(
    "line", ['#include "{secret}"', '__asm__(".incbin \\"{secret}\\"");', '#include "../secret.h"']
)
def test_a_compiler_reads_no_other_file(tmp_path: Path, line: str) -> None:
    """By the kernel, without a look at the source."""
    secret, work = tmp_path / "secret.h", tmp_path / "work"
    work.mkdir()
    secret.write_text("int hidden_word = 1;")
    source = work / "reads.c"
    source.write_text(line.format(secret=secret) + "\n")
    board = find_board("host")
    compile_object(board, source, work / "free.o", ())
    with confined_compilers(work), pytest.raises(UserError, match="does not compile") as caught:
        compile_object(board, source, work / "reads.o", ())
    assert "hidden_word" not in str(caught.value)
    source.write_text('#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n')
    with confined_compilers(work):
        compile_object(board, source, work / "fine.o", ())
        link(board, [work / "fine.o"], work / "fine", STATIC)
    with pytest.raises(UserError), confined_compilers(work):
        compile_object(board, source, tmp_path / "outside.o", ())


@pytest.fixture
def trial(short: Short, tmp_path: Path) -> Path:
    """A trial with its policy beside it."""
    policy = export_graph(timid_graph(), tmp_path / "made")
    run_trial(short(policy=policy, swing_up_limit_s=0.2))
    shutil.move(policy, tmp_path / "trial" / "policy")
    return tmp_path / "trial"


def rewrite(trial: Path, **header: Any) -> None:
    """The journal with another header, as anybody can write it."""
    journal = read_journal(trial / "journal.bin")
    kept = {k: v for k, v in {**journal.header_json, **header}.items() if v is not None}
    with JournalWriter(trial / "journal.bin", kept) as writer:
        for record in journal.records:
            writer.write(record.kind, record.payload, record.host_ns)


FOREIGN = [
    '#include "/etc/passwd"',
    '#include "../../secret.h"',
    "#include <../../etc/passwd>",
    "#define P <stdio.h>\n#include P",
    '__asm__(".incbin \\"/etc/passwd\\"");',
    'as\\\nm(".incbin \\"/etc/passwd\\"");',
    "__attribute__((constructor)) static void now(void) {}",
    "#/**/embed </etc/passwd>",
    "%:include </etc/passwd>",
    "??=include </etc/passwd>",
    '_Pragma("GCC optimize(0)")',
    "#define GLUE(a, b) a##b",
]


@pytest.mark.parametrize("line", FOREIGN)
def test_c_that_export_does_not_write_is_not_compiled(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sparsectl.hil.journal.sources import _check

    with pytest.raises(UserError, match="which `sparsectl export` does not write") as caught:
        _check(tmp_path / "policy.c", f"/* a policy */\nint x; // fine\n{line}\n")
    assert "\n" not in str(caught.value)


def test_other_c_than_the_trial_ran_is_refused(
    trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed by a byte, named by nobody, or vouched for by a folder for itself."""
    monkeypatch.setattr(replaying, "build_engine", lambda *_: pytest.fail("it was compiled"))
    source = trial / "policy" / "policy.c"
    before = source.read_bytes()
    source.write_bytes(before + b"\n/* another */\n")
    with pytest.raises(UserError, match="policy.c has SHA-256 .*, the journal names .*; name the"):
        replay(ReplayConfig(trial))
    rewrite(trial, policy_files=None)  # of an earlier version: policy.json has to vouch
    with pytest.raises(UserError, match="policy.c has SHA-256 .*, policy.json names"):
        replay(ReplayConfig(trial))
    (trial / "policy" / "policy.json").unlink()
    with pytest.raises(UserError, match="named no hash of policy.c.*--trust-policy"):
        replay(ReplayConfig(trial))
    monkeypatch.undo()
    assert replay(ReplayConfig(trial, trust_policy=True))["agrees"]
    rewrite(trial, policy_files={"policy.c": hashlib.sha256(before).hexdigest()})
    with pytest.raises(UserError, match="policy.c has SHA-256 .*, the journal names"):
        replay(ReplayConfig(trial, trust_policy=True))
    source.write_bytes(before)
    with pytest.raises(UserError, match="policy.h has SHA-256 .*, the journal names none"):
        replay(ReplayConfig(trial))


def test_a_journal_of_before_agrees_where_policy_json_vouches(trial: Path) -> None:
    rewrite(trial, policy_files=None)
    assert json.loads((trial / "policy" / "policy.json").read_text())["files"]["policy.c"]
    assert replay(ReplayConfig(trial))["agrees"]
