"""C that is compiled when it is needed: found again, left out where there is no compiler, never in anybody's way."""

import ctypes
import logging
import os
import pwd
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ablate.model import compiled
from ablate.model.compiled import load

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
THREE = "int three(void) { return 3; }\n"


@pytest.fixture
def sources(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "three.c").write_text(THREE)
    return folder


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A compiler that counts its calls; how many there were."""
    calls, compiler = tmp_path / "calls", tmp_path / "counting cc"
    compiler.write_text(f'#!/bin/sh\necho >>"{calls}"\nexec cc "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", f"'{compiler}' -g0")  # a command with a word more, as CC may be
    return lambda: len(calls.read_text().splitlines()) if calls.exists() else 0


def in_a_process(sources: Path) -> int:
    """The number that the library gives there, or minus the signal that ended it."""
    code = "import sys, pathlib; from ablate.model.compiled import load; " + (
        "sys.exit(load('numbers', pathlib.Path(sys.argv[1])).three())"
    )
    return subprocess.run([sys.executable, "-c", code, sources]).returncode


def kept() -> list[Path]:
    return sorted((Path(os.environ["XDG_CACHE_HOME"]) / "ablate").iterdir())


def script(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_a_second_process_does_not_compile_again(sources, counted):
    library = load("numbers", sources)
    assert library is not None
    assert library.three() == 3
    calls = counted()
    assert in_a_process(sources) == 3
    assert counted() == calls == 2  # it is compiled, and linked
    assert len(kept()) == 1


def test_other_sources_are_another_library(sources):
    assert load("numbers", sources).three() == 3
    (sources / "three.c").write_text(THREE.replace("3;", "4;"))
    assert load("numbers", sources).three() == 4
    (sources / "four.h").write_text("/* a header */\n")
    assert load("numbers", sources).three() == 4
    assert len(kept()) == 3


def test_another_compiler_in_the_same_place_is_another_library(sources, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", script(tmp_path / "cc", 'exec cc "$@"'))
    assert load("numbers", sources).three() == 3
    script(tmp_path / "cc", 'exec cc -Dthree=four "$@"')
    assert not hasattr(load("numbers", sources), "three")


@pytest.mark.parametrize("damage", [b"not a library", slice(9000), slice(-1)], ids=["other", "half", "short"])
def test_a_damaged_library_is_compiled_again(sources, counted, damage):
    load("numbers", sources)
    (path,) = kept()
    whole = path.read_bytes()
    path.unlink()  # loaded by this process: a file of the same name, not the same file
    path.write_bytes(whole[damage] if isinstance(damage, slice) else damage)
    assert in_a_process(sources) == 3  # to open a part of one is SIGBUS
    assert path.read_bytes() == whole
    assert counted() == 4


def test_a_library_is_kept_whole_or_not_at_all(sources, monkeypatch):
    calls, parts = [], []
    monkeypatch.setattr(os, "fsync", lambda file: calls.append("fsync"))

    def replace(part, path, **_):
        calls.append("replace")
        parts.append(Path(part))
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", replace)
    for _ in range(2):
        assert load("numbers", sources).three() == 3
    assert calls == ["fsync", "replace"] * 2
    assert len(set(parts)) == 2  # on two machines of one home, two processes may have one number
    assert {part.parent for part in parts} == {Path(os.environ["XDG_CACHE_HOME"]) / "ablate"}
    assert kept() == []


def test_a_library_that_others_use_is_not_replaced_by_the_same(sources, monkeypatch):
    load("numbers", sources)
    (path,) = kept()
    intact, before = compiled._is_intact, path.stat()
    answers = [False]  # not there yet, when the second process looks
    monkeypatch.setattr(compiled, "_is_intact", lambda path: answers.pop() if answers else intact(path))
    assert load("numbers", sources).three() == 3
    assert answers == []
    assert path.stat().st_ino == before.st_ino


@pytest.mark.parametrize("noexec", ["cache", "temporary"])
def test_a_place_mounted_noexec_costs_nothing_but_a_compilation(sources, tmp_path, monkeypatch, noexec):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    real = ctypes.CDLL

    def mapped(path):
        if Path(path).is_relative_to(tmp_path / noexec):
            raise OSError("failed to map segment from shared object")
        return real(path)

    monkeypatch.setattr(ctypes, "CDLL", mapped)
    assert load("numbers", sources).three() == 3


def test_a_cache_that_cannot_be_written_to_costs_a_compilation_and_no_more(sources, tmp_path, counted):
    (tmp_path / "cache").write_text("a file")
    assert load("numbers", sources).three() == 3
    assert load("numbers", sources).three() == 3
    assert counted() == 4


@pytest.mark.parametrize("folder", ["locked", "n" * 300])
def test_a_cache_that_cannot_be_looked_into_costs_a_compilation_and_no_more(sources, tmp_path, monkeypatch, folder):
    monkeypatch.setenv(
        "XDG_CACHE_HOME", str(tmp_path / folder)
    )  # the long name is for root, to whom no folder is locked
    (tmp_path / "locked" / "ablate").mkdir(parents=True)
    (tmp_path / "locked").chmod(0)
    try:
        assert load("numbers", sources).three() == 3
    finally:
        (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize(
    ("folder", "file", "user"),
    [(0o770, 0o600, 0), (0o707, 0o600, 0), (0o700, 0o620, 0), (0o700, 0o602, 0), (0o700, 0o600, 1)],
    ids=["group's folder", "everybody's folder", "group's file", "everybody's file", "somebody else's"],
)
def test_what_others_may_have_written_is_not_opened(sources, counted, monkeypatch, folder, file, user):
    load("numbers", sources)
    (path,) = kept()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(file)
    path.parent.chmod(folder)
    before, user = path.stat().st_ino, os.geteuid() + user
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert load("numbers", sources).three() == 3
    assert counted() == 4
    (after,) = kept()
    assert (after.stat().st_ino == before) == (file == 0o600)  # written anew where the folder is ours alone
    assert not after.stat().st_mode & 0o022


@pytest.mark.parametrize("home", ["home", None])
def test_kept_only_under_an_absolute_folder(sources, counted, tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    if home:
        monkeypatch.setenv("HOME", str(tmp_path / home))
    else:  # nor has the system a user of this number
        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    before = set(tmp_path.iterdir())
    for _ in range(2):
        assert load("numbers", sources).three() == 3
    made = {path.name for path in set(tmp_path.iterdir()) - before} - {"calls"}
    assert (made, counted()) == (({"home"}, 2) if home else (set(), 4))
    assert not home or len(list((tmp_path / home / ".cache" / "ablate").iterdir())) == 1


def test_the_compiler_may_be_given_by_a_relative_path(sources, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script(tmp_path / "mycc", 'exec cc "$@"')
    monkeypatch.setenv("CC", "./mycc")
    assert load("numbers", sources.relative_to(tmp_path)).three() == 3


@pytest.mark.parametrize(
    ("compiler", "level", "words"),
    [
        ("no-such-compiler", "INFO", "there is no C compiler (CC=no-such-compiler)"),
        ("''", "INFO", "there is no C compiler"),
        ("false", "WARNING", "non-zero exit status"),
        ("'cc", "WARNING", "No closing quotation"),
        ("./latin", "WARNING", "cass\N{REPLACEMENT CHARACTER}"),
        ("./unrunnable", "WARNING", "unrunnable"),
        ("true", "WARNING", "cannot open shared object file"),  # says that it has, and has not
    ],
)
def test_without_a_compiler_there_is_no_library_and_a_line_in_the_log(
    sources, compiler, level, words, monkeypatch, caplog, tmp_path
):
    script(tmp_path / "latin", r"printf 'cass\351' >&2; exit 1")
    script(tmp_path / "unrunnable")
    (tmp_path / "unrunnable").write_text("#!/no/such/interpreter\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CC", compiler)
    with caplog.at_level(logging.WARNING if level == "WARNING" else logging.INFO):
        assert load("numbers", sources) is None
    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith("numbers: no library")
    assert words in record.getMessage()
    assert not (tmp_path / "cache").exists()


def test_an_empty_command_is_the_usual_compiler(sources, monkeypatch):
    monkeypatch.setenv("CC", " ")
    assert load("numbers", sources).three() == 3


def test_without_a_temporary_folder_there_is_no_library(sources, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    assert load("numbers", sources) is None
    assert "not there" in caplog.text


def test_a_compiler_that_hangs_is_ended_with_all_that_it_has_started(sources, tmp_path, monkeypatch, caplog):
    os.mkfifo(tmp_path / "alive")
    monkeypatch.setenv("CC", script(tmp_path / "hang", f"(echo begun; sleep 20) >'{tmp_path}/alive' & wait"))
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    heard, seconds = b"", 0.2
    while not heard and seconds < 20:  # on a busy machine it begins later
        monkeypatch.setattr(compiled, "SECONDS", seconds := 2 * seconds)
        begun = time.monotonic()
        assert load("numbers", sources) is None
        assert time.monotonic() - begun < seconds + 10
        heard = os.read(alive, 100)
    assert heard == b"begun\n"
    assert "timed out" in caplog.text
    assert select.select([alive], [], [], 5)[0]
    assert os.read(alive, 100) == b""  # nobody is left who could write
    os.close(alive)


def test_what_does_not_compile_is_told_in_the_compilers_words(sources, caplog):
    (sources / "three.c").write_text("int three(void) { return three_and_a_half; }\n")
    with caplog.at_level(logging.INFO):
        assert load("numbers", sources) is None
    assert "three_and_a_half" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("flags\t\t: fpu sse2", "flags\t\t: fpu sse2 avx"),
        ("CPU implementer\t: 0x41", "CPU implementer\t: 0xc0"),
        ("CPU variant\t: 0x1", "CPU variant\t: 0x3"),
        ("CPU part\t: 0xd0c", "CPU part\t: 0xd40"),
        ("Features\t: fp asimd", "Features\t: fp asimd sve"),
        ("features\t: esan3 zarch", "features\t: esan3 zarch vx"),
        ("facilities      : 0 1 2", "facilities      : 0 1 2 3"),
        ("processor 0: version = FF,  machine = 2964", "processor 0: version = FF,  machine = 3906"),
        ("cpu\t\t: POWER8 (raw)", "cpu\t\t: POWER9, altivec supported"),
    ],
)
def test_another_processor_is_told_by_its_description(one, other, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "CPUINFO", tmp_path / "cpuinfo")

    def described(line: str, *mhz: str) -> list[str]:
        cores = [f"processor\t: {core}\n{line}\ncpu MHz\t\t: {each}\n" for core, each in enumerate(mhz)]
        (tmp_path / "cpuinfo").write_bytes("\n".join(cores).encode() + b"by\t: \xe9\n")
        return compiled._processor()

    assert described(one, "2599.9") == described(one, "800.1", "2599.9") != described(other, "2599.9")
