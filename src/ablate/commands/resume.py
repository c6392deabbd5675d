"""Go on with a run or a sweep: what is done is kept, what was interrupted goes on, what is missing is added."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ablate.changes import config_differences, environment_differences
from ablate.cluster.launch import find_jobs
from ablate.commands.multirun import Sweep, carry_out, place_for
from ablate.config.compose import checked
from ablate.config.flags import composer, parse_flags
from ablate.config.hydra_node import hydra_problems
from ablate.config.plan import Plan, in_folder, plan
from ablate.config.resolvers import hydra_node
from ablate.config.shorthand import ON_SLURM, expand
from ablate.config.trust import untrusted_packages, untrusted_program
from ablate.errors import Problem, UserError
from ablate.processes.lease import Lease
from ablate.record import FILE_NAME, RunRecord, config_hash
from ablate.single import company_of, train_in
from ablate.sweep.manifest import Manifest, is_sweep
from ablate.sweep.state import BROKEN, TO_DO, state_of
from ablate.sweep.table import exit_code, show_run, show_sweep
from ablate.sweep.watch import remake_report
from ablate.training import Setting, preload, pretend

OUTPUTS = Path("outputs")
SHOWN = 8  # differences in a message


def resume(folder: Path | None, words: Sequence[str] = (), *, retry_failed: bool = False, force: bool = False) -> int:
    """Go on with the run or the sweep in `folder`, by default the newest unfinished one; the exit code.

    words: overrides that extend a sweep, such as `seed=range(0,10)`; they replace those of the same key.
    retry_failed: also what has failed or diverged. force: also if code, config, data or versions have changed, which
    is recorded. Raises `UserError`, before anything is changed, for what cannot go on.
    """
    folder = (folder or _newest_unfinished(OUTPUTS, retry_failed)).resolve()
    if is_sweep(folder):
        return _resume_sweep(folder, words, retry_failed, force)
    if not (folder / FILE_NAME).is_file():
        given = f"{folder} holds neither {FILE_NAME} nor sweep.json"
        raise UserError.of(given, "a run or a sweep", "python -m ablate status outputs")
    if words:
        raise UserError.of(
            " ".join(words), "words for a sweep: a single run cannot be extended", f"python -m ablate resume {folder}"
        )
    return _resume_run(folder, retry_failed, force)


def _resume_run(folder: Path, retry_failed: bool, force: bool) -> int:
    state = state_of(folder)
    if state.status == "running":
        raise UserError.of(f"{folder} is running", "a run that nobody works on", f"python -m ablate status '{folder}'")
    if state.status == "done" or (state.status in BROKEN and not retry_failed):
        show_run(folder)
        return exit_code([folder])
    record = RunRecord.read(folder)
    if not record.command:
        raise UserError.of(f"{folder} does not say which command made it", "a run of `train.py`", "python train.py ...")
    called, *words = record.command
    directory = Path(record.directory or "")
    directory = directory.resolve() if directory.is_dir() else Path.cwd()
    program = (directory / called).resolve()
    UserError.raise_all(untrusted_program(program, folder))
    os.chdir(directory)  # paths in the config are relative to it
    sys.argv[0] = str(program)
    conf = program.parent / "conf"
    options = parse_flags([word for word in words if word.startswith("--")])
    composed = composer(conf, options).compose([word for word in words if not word.startswith("--")])
    config = checked(composed)
    UserError.raise_all([*hydra_problems(hydra_node(composed)), *untrusted_packages(config.plain)])
    found = [*config_differences(record, config.plain), *environment_differences(record)]
    forced = _pass_over(found, force, folder)
    pretend(str(program))
    return train_in(folder, conf, [*words, in_folder(folder, sweep=False)], forced, company_of(config))


def _resume_sweep(folder: Path, words: Sequence[str], retry_failed: bool, force: bool) -> int:
    manifest = Manifest.read(folder).refreshed(folder)
    UserError.raise_all(untrusted_program(Path(manifest.program), folder))
    if ON_SLURM not in manifest.overrides:
        preload()  # while this process plans
    if Path(manifest.directory).is_dir():
        os.chdir(manifest.directory)  # paths in the config are relative to it
    conf, (added, dry_run, problems) = Path(manifest.conf), expand(words, manifest.overrides)
    if dry_run:
        problems.append(Problem("dry_run=true", "words of a sweep", "leave dry_run out"))
    overrides = _merged(manifest.overrides, added)
    composed, typed = composer(conf, parse_flags(manifest.options)), [*map(_key, added)]
    planned = plan(composed, overrides, multirun=manifest.multirun, already=problems, into=folder, trusted=typed)
    planned, changed = _matched(planned, manifest, folder)
    if finished := [name for name in changed if state_of(folder / name).status == "done"]:
        given = f"{finished[0]} is done, with {changed[finished[0]]}"
        raise UserError.of(
            given, "words that add runs to the sweep; another config is another sweep", "python train.py -m ..."
        )
    forced = _pass_over([*changed.values(), *_environment(manifest, folder)], force, folder)
    manifest = replace(
        manifest.with_runs({name: config.plain for name, config in planned.runs.items()}),
        overrides=tuple(overrides),
        forced=tuple(dict.fromkeys([*manifest.forced, *(forced or ())])),
    ).refreshed(folder)
    wanted = {*TO_DO, *(BROKEN if retry_failed else ())}
    known = find_jobs(folder, planned.launcher)
    todo = frozenset(run.folder for run in manifest.runs.values() if run.status in wanted or run.folder in changed)
    todo -= known.there
    if not todo and not known.there:
        return _show_again(folder, manifest, list(planned.runs))
    slots, cluster = place_for(planned, len(todo), known)
    sweep = Sweep(folder, Setting(conf, manifest.program, forced), manifest, planned, todo, slots, cluster)
    return carry_out(sweep)


def _show_again(folder: Path, manifest: Manifest, names: Sequence[str]) -> int:
    """What came out, of a sweep with nothing to do; its last runs may have ended while nobody looked."""
    verdict = ""
    if manifest != Manifest.read(folder):
        with Lease.take(folder):
            manifest.write(folder)
        verdict = remake_report(folder)
    show_sweep(folder, names, verdict=verdict)
    return exit_code([folder / name for name in names])


def _merged(overrides: Sequence[str], added: Sequence[str]) -> list[str]:
    """The words of the sweep; a new one takes the place of the old one of its key."""
    new = {_key(word): word for word in added}
    return [new.pop(_key(word), word) for word in overrides] + list(new.values())


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _matched(planned: Plan, manifest: Manifest, folder: Path) -> tuple[Plan, dict[str, str]]:
    """The plan with the folders that its runs have already, and the runs whose config has changed: name -> how.

    Raises `UserError` if a run of the sweep is not planned any more.
    """
    names, changed = {}, {}
    in_folders = {run.folder for run in manifest.runs.values()}
    for name, config in planned.runs.items():
        known = manifest.runs.get(config_hash(config.plain))
        names[name] = known.folder if known else name
        if not known and name in in_folders:
            record = _record(folder / name)
            if record:  # else it has not begun, and can as well begin with this config
                changed[name] = "; ".join(config_differences(record, config.plain))
    if gone := [name for name in in_folders if name not in names.values()]:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        given = f"with these words the sweep would have no run {gone[0]}{more}"
        raise UserError.of(given, "words that add runs to it", f"python -m ablate resume '{folder}' 'seed=range(0,10)'")
    return planned.renamed(names), changed


def _environment(manifest: Manifest, folder: Path) -> Iterator[str]:
    """What has changed about code and versions since runs of the sweep were begun."""
    seen = []
    for run in manifest.runs.values():
        record = _record(folder / run.folder)
        if record and (record.code, record.versions) not in seen:
            seen.append((record.code, record.versions))
            yield from environment_differences(record)


def _pass_over(found: Sequence[str], force: bool, folder: Path) -> list[str] | None:
    """The differences, if they are to be passed over; None if there may be none. Raises `UserError` for some that may
    not be."""
    distinct = list(dict.fromkeys(found))
    if force:
        return distinct
    if distinct:
        more = f"; and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
        raise UserError.of(
            f"{folder} was begun with {'; '.join(distinct[:SHOWN])}{more}",
            "the code, config and versions that it was begun with; --force goes on with those of now, and records it",
            f"python -m ablate resume '{folder}' --force",
        )
    return None


def _record(folder: Path) -> RunRecord | None:
    """None if there is none that can be read."""
    try:
        return RunRecord.read(folder)
    except UserError:
        return None


def _newest_unfinished(outputs: Path, retry_failed: bool) -> Path:
    """The run or sweep that was touched last, of those with something to do."""
    wanted = {*TO_DO, *(BROKEN if retry_failed else ())}
    sweeps = [path.parent for path in outputs.glob("sweeps/*/sweep.json")]
    runs = [path.parent for path in outputs.glob(f"runs/*/{FILE_NAME}")]
    for folder in sorted([*sweeps, *runs], key=lambda folder: folder.stat().st_mtime, reverse=True):
        if folder in runs and state_of(folder).status in wanted:
            return folder
        if folder in sweeps:
            with suppress(UserError):  # one that cannot be read is not what was meant
                manifest = Manifest.read(folder).refreshed(folder)
                if any(run.status in wanted for run in manifest.runs.values()):
                    return folder
    failed = "" if retry_failed else ", or --retry-failed for what has failed"
    raise UserError.of(
        f"there is nothing unfinished in {outputs}",
        f"the folder of a run or a sweep{failed}",
        "python -m ablate resume FOLDER",
    )
