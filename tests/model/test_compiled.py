"""C that is compiled when it is needed: found again, left out where there is no compiler, never in anybody's way."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_second_process_does_not_compile_again(sources, counted, tmp_path):
    library = load("numbers", sources)
    assert library is not None
    assert library.three() == 3
    calls = counted()
    code = "import sys, pathlib; from ablate.model.compiled import load; " + (
        "sys.exit(load('numbers', pathlib.Path(sys.argv[1])).three())"
    )
    assert subprocess.run([sys.executable, "-c", code, sources]).returncode == 3
    assert counted() == calls == 2  # it is compiled, and linked
    assert len(list((tmp_path / "cache" / "ablate").iterdir())) == 1


def test_other_sources_are_another_library(sources):
    assert load("numbers", sources).three() == 3
    (sources / "three.c").write_text(THREE.replace("3;", "4;"))
    assert load("numbers", sources).three() == 4
    (sources / "four.h").write_text("/* a header */\n")
    assert load("numbers", sources).three() == 4
    assert len(list((Path(os.environ["XDG_CACHE_HOME"]) / "ablate").iterdir())) == 3


def test_a_damaged_library_is_compiled_again(sources, tmp_path):
    load("numbers", sources)
    (kept,) = (tmp_path / "cache" / "ablate").iterdir()
    kept.unlink()  # loaded by this process: a file of the same name, not the same file
    kept.write_bytes(b"not a library")
    assert load("numbers", sources).three() == 3


def test_a_cache_that_cannot_be_written_to_costs_a_compilation_and_no_more(sources, tmp_path, counted):
    (tmp_path / "cache").write_text("a file")
    assert load("numbers", sources).three() == 3
    assert load("numbers", sources).three() == 3
    assert counted() == 4


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_there_is_no_library_and_a_line_in_the_log(sources, compiler, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("CC", compiler)
    with caplog.at_level(logging.INFO):
        assert load("numbers", sources) is None
    assert caplog.messages[0].startswith("numbers: not compiled")
    assert not (tmp_path / "cache").exists()


def test_what_does_not_compile_is_told_in_the_compilers_words(sources, caplog):
    (sources / "three.c").write_text("int three(void) { return three_and_a_half; }\n")
    with caplog.at_level(logging.INFO):
        assert load("numbers", sources) is None
    assert "three_and_a_half" in caplog.text
