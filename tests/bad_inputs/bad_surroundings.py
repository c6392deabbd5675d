"""An environment that a command cannot work in, or should not mind."""

import shutil
from pathlib import Path

from world import Row

JOB = ("--cfg", "job")


def gone(folder: Path) -> None:
    """The working folder has been removed under the command."""
    shutil.rmtree(folder)


TORCHRUN = {
    **{"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"},
}
SURROUNDINGS = [
    Row(
        "no GPU for gpu", ["trainer=gpu"], ["this machine has no GPU", "trainer=cpu"], env={"CUDA_VISIBLE_DEVICES": ""}
    ),
    Row("GPUs that are not there", ["trainer=gpu"], ["no GPU"], env={"CUDA_VISIBLE_DEVICES": "nonsense,-7"}),
    Row("a rank that is no number", ["seed=1"], ["LOCAL_RANK=abc", "unset LOCAL_RANK"], env={"LOCAL_RANK": "abc"}),
    Row("a rank without company", ["seed=1"], ["LOCAL_RANK=0 without WORLD_SIZE"], env={"LOCAL_RANK": "0"}),
    Row("tasks that are no number", ["seed=1"], ["SLURM_NTASKS=two", "unset SLURM_N"], env={"SLURM_NTASKS": "two"}),
    Row(
        "torchrun for a run on one device",
        ["trainer=cpu"],
        ["torchrun has started 2 processes for trainer.devices=1", "trainer.devices=2 trainer.num_nodes=1"],
        env=TORCHRUN,
    ),
    Row(
        "SLURM with fewer tasks than devices",
        ["trainer=cpu", "trainer.devices=3", "data.batch_size=96"],
        ["SLURM has started 2 processes for trainer.devices=3", "trainer.devices=2 trainer.num_nodes=1"],
        env={"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_NTASKS_PER_NODE": "2"},
    ),
    Row(
        "two sweeps at once by torchrun",
        ["-m", "seeds=2"],
        ["a sweep in 2 processes of torchrun", "python train.py -m"],
        env=TORCHRUN,
    ),
    Row(
        "two sweeps at once by srun",
        ["-m", "seeds=2"],
        ["a sweep in 4 processes of srun"],
        env={"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"},
    ),
    Row("the working folder is gone", ["seed=1"], ["the working folder"], gone),
    Row("a home that is not set", ["data=image_folder", "data.root='~/x'"], ["no folder"], env={"HOME": "/nowhere"}),
]
HARMLESS = [
    Row("TMPDIR is missing", JOB, [], env={"TMPDIR": "/nowhere"}, code=0),
    Row("HOME is not set", JOB, [], env={"HOME": None}, code=0),
    Row("PYTHONPATH is junk", JOB, [], env={"PYTHONPATH": "::/nowhere:\x01"}, code=0),
    Row("a script of SLURM's", JOB, [], env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, code=0),
    Row("a seed of Lightning's", JOB, [], env={"PL_GLOBAL_SEED": "abc"}, code=0),
]
# In a process of their own: they act when Python or torch starts. (name, environment, command, exit code, words)
PROCESSES = [
    ("OMP_NUM_THREADS=abc", {"OMP_NUM_THREADS": "abc"}, ["train.py", "trainer.precision=bf16"], 2, "bf16-mixed"),
    (
        "LANG=C",
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        ["train.py", "data=image_folder", "data.root='Bär'"],
        2,
        "data.root=B",
    ),
    ("ASCII output", {"PYTHONIOENCODING": "ascii"}, ["train.py", "--help"], 0, ""),
    ("python -m ablate", {"PYTHONPATH": "/nowhere"}, ["-m", "ablate", "report", "nowhere"], 2, "nowhere is no folder"),
]
