"""Files cut short, changed, lost or forged: the run goes on from what is whole, and says so."""

import os
import pickle
import shutil
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from killing import assert_same_run, attempt, die, files, forked, killed, same

import ablate.record
from ablate import checkpoint
from ablate.errors import UserError
from ablate.reopen import load_classifier

WRITES = ("best.ckpt", "last.ckpt.sha256", "last.ckpt", "metrics.csv")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", WRITES)
def test_killed_while_a_file_is_replaced(tmp_path, reference, name, place):
    """At the second time that `name` is replaced, just before it is, or just after."""
    seen = []
    replace = os.replace

    def lethal(source: str, target: Path) -> None:
        if Path(target).name == name:
            seen.append(name)
            if len(seen) == 2 and place == "before":
                die()()
        replace(source, target)
        if len(seen) == 2 and Path(target).name == name:
            die()()

    def work() -> None:
        ablate.record.os.replace = lethal
        attempt(tmp_path)

    code = forked(work)
    assert code in (-signal.SIGKILL, 0)  # 0: it was not replaced as often
    record = attempt(tmp_path)
    assert record.attempts == (2 if code else 1)
    assert_same_run(tmp_path, reference)


def test_killed_between_the_two_checkpoints_of_the_last_epoch(tmp_path):
    whole, parts, replace = tmp_path / "whole", tmp_path / "parts", os.replace
    attempt(whole, "trainer.max_epochs=1")

    def lethal(source: str, target: Path) -> None:
        if Path(target).name == "last.ckpt.sha256":
            die()()
        replace(source, target)

    def work() -> None:
        ablate.record.os.replace = lethal
        attempt(parts, "trainer.max_epochs=1")

    assert forked(work) == -signal.SIGKILL
    assert attempt(parts, "trainer.max_epochs=1").resumed[0]["from_checkpoint"] == "best.ckpt"
    ours, theirs = (checkpoint.load(folder / "checkpoints/last.ckpt") for folder in (parts, whole))
    assert checkpoint.place_of(ours) == checkpoint.place_of(theirs)
    assert same(ours["state_dict"], theirs["state_dict"])


def test_a_flipped_byte_in_the_last_checkpoint_falls_back_to_the_best(folder, reference, caplog):
    flip(folder / "checkpoints/last.ckpt")
    record = attempt(folder)
    assert record.resumed[0]["from_checkpoint"] == "best.ckpt"
    assert "last.ckpt is damaged: it does not fit last.ckpt.sha256" in caplog.text
    assert_same_run(folder, reference)


@pytest.mark.parametrize("with_checksum", [True, False])
def test_a_last_checkpoint_cut_short_falls_back_to_the_best(folder, reference, with_checksum):
    path = folder / "checkpoints/last.ckpt"
    path.write_bytes(path.read_bytes()[:10_000])
    if not with_checksum:
        checkpoint.checksum_file(path).unlink()
    assert attempt(folder).resumed[0]["from_checkpoint"] == "best.ckpt"
    assert_same_run(folder, reference)


def test_without_a_good_checkpoint_it_begins_again(folder, reference, caplog):
    flip(folder / "checkpoints/last.ckpt")
    (folder / "checkpoints/best.ckpt").write_bytes(b"")
    record = attempt(folder)
    assert (record.resumed[0]["from_checkpoint"], record.resumed[0]["from_epoch"]) == (None, 0)
    assert "best.ckpt is damaged" in caplog.text
    assert_same_run(folder, reference)


def test_a_lost_best_of_an_earlier_epoch_is_trained_again(folder, reference, caplog):
    last = folder / "checkpoints/last.ckpt"
    content = checkpoint.load(last)
    (folder / "checkpoints/best.ckpt").unlink()
    is_best = checkpoint.best_epoch_of(content) == content["epoch"]
    record = attempt(folder)
    assert record.resumed[0]["from_checkpoint"] == ("last.ckpt" if is_best else None)
    assert is_best or "is lost" in caplog.text
    assert_same_run(folder, reference)


def test_a_lost_best_that_is_the_last_one_too_is_copied(tmp_path, reference):
    killed(tmp_path, at=("train_batch", 1, 0))  # the first epoch is the best so far
    flip(tmp_path / "checkpoints/best.ckpt")
    assert attempt(tmp_path).resumed[0]["from_checkpoint"] == "last.ckpt"
    assert_same_run(tmp_path, reference)


def test_a_record_cut_short_is_an_unfinished_run(folder, reference, caplog):
    path = folder / "run.json"
    path.write_text(path.read_text()[:500])
    record = attempt(folder)
    assert (record.status, record.resumed[0]["from_checkpoint"]) == ("done", "last.ckpt")
    assert "run.json cannot be read" in caplog.text
    assert_same_run(folder, reference)


def test_a_record_cut_short_of_another_config_is_refused(folder):
    (folder / "run.json").write_text("{")
    before = files(folder)
    with pytest.raises(UserError, match=r"optimizer\.lr=0\.02, now 0\.5"):
        attempt(folder, "optimizer.lr=0.5")
    assert files(folder) == before


def test_a_record_cut_short_without_a_config_beside_it_is_a_sentence(folder):
    (folder / "run.json").write_text("{")
    (folder / "config.yaml").unlink()
    before = files(folder)
    with pytest.raises(UserError, match=r"run\.json cannot be read"):
        attempt(folder)
    assert files(folder) == before


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def forge(path: Path, *, checksum: bool) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "evil": Evil()}, path)
    if checksum:
        checkpoint.write(path, path.read_bytes())


def test_a_checkpoint_with_code_in_it_is_refused_and_nothing_is_run(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    forge(folder / "checkpoints/last.ckpt", checksum=True)
    before = files(folder.parent)
    with pytest.raises(UserError, match="could run code") as caught:
        attempt(folder)
    assert "type:" in str(caught.value)
    with pytest.raises(UserError, match="could run code"):
        load_classifier(folder, "checkpoints/last.ckpt")
    assert files(folder.parent) == before


def test_one_without_its_checksum_counts_as_damaged(folder, reference, monkeypatch):
    monkeypatch.chdir(folder.parent)
    forge(folder / "checkpoints/last.ckpt", checksum=False)
    assert attempt(folder).resumed[0]["from_checkpoint"] == "best.ckpt"
    assert not Path("evil").exists()
    assert_same_run(folder, reference)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04.", pickle.dumps(Evil()), b"PK\x03\x04 not a zip", b"no checkpoint at all" * 100],
    ids=["empty", "pickle", "evil pickle", "half a zip", "text"],
)
def test_what_is_no_checkpoint_is_a_sentence(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "some.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.ckpt (is damaged|holds more)"):
        checkpoint.load(path)
    assert not Path("evil").exists()


def test_what_torch_can_read_and_is_no_run_is_a_sentence(tmp_path):
    torch.save([1, 2], tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    for name in "ab":
        with pytest.raises(UserError, match="is damaged"):
            checkpoint.load(tmp_path / f"{name}.ckpt")


def test_a_damaged_checkpoint_is_not_opened_elsewhere(reference, tmp_path):
    folder = Path(shutil.copytree(reference, tmp_path / "run"))
    load_classifier(folder)
    flip(folder / "checkpoints/best.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt is damaged: it does not fit best\.ckpt\.sha256"):
        load_classifier(folder)


def test_the_checksums_are_what_sha256sum_reads(reference):
    command = ["sha256sum", "--check", "--strict", "best.ckpt.sha256", "last.ckpt.sha256"]
    done = subprocess.run(command, cwd=reference / "checkpoints", capture_output=True, text=True, check=True)
    assert done.stdout == "best.ckpt: OK\nlast.ckpt: OK\n"
