#!/usr/bin/env python3
# timeout: 600
"""What can be wrong when a run goes on: damaged and foreign checkpoints, another configuration, other
data, no room, no permission. Each gives one clear sentence and an exit status other than 0, or the
step before and a word about it; no good checkpoint is ever lost."""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "resume"))
from harness import Study, check, difference, steps_of  # noqa: E402

FOREIGN = b"\x48\0\0\0\0\0\0\0" + b'{"other.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x48) + b"\0" * 4


class Scenario:
    """A copy of a run that was killed at step 15 of 24, with checkpoints of steps 9 and 12."""

    def __init__(self, study, stopped, name):
        self.study, self.run = study, study.folder / name
        shutil.copytree(stopped, self.run)
        self.before = self.contents()

    def contents(self):
        """Hashes of the files of all complete steps."""
        files = [f for step in steps_of(self.run).values() for f in sorted(step.iterdir())]
        return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    def resume(self, *arguments, **options):
        return self.study.run(self.run, *arguments, **options)

    def refused(self, expected, *arguments, **options):
        """Going on fails with a message that holds all of `expected`, and every step is as before."""
        status, output = self.resume(*arguments, **options)
        name = self.run.name
        check(status not in (0, None) and status > 0, f"{name}: exit status {status}:\n{output}")
        for words in expected:
            check(words in output, f"{name}: no `{words}` in:\n{output}")
        for trace in ("terminate called", "frame #", "Exception raised from", "Segmentation"):
            check(trace not in output, f"{name}: `{trace}` in:\n{output}")
        said = [line for line in output.splitlines() if expected[0] in line]
        check(len(said) == 1, f"{name}: said {len(said)} times, once is enough:\n{output}")
        check(self.contents() == self.before, f"{name}: the checkpoints changed")

    def recovers(self, reference, expected=(), arguments=()):
        """Going on works, says all of `expected`, and ends as the run that was never interrupted."""
        status, output = self.resume(*arguments)
        check(status == 0, f"{self.run.name}: exit status {status}:\n{output}")
        for words in expected:
            check(words in output, f"{self.run.name}: no `{words}` in:\n{output}")
        complaint = difference(self.run, reference)
        check(not complaint, f"{self.run.name}: {complaint}")


def flip_bit(path, byte):
    content = bytearray(path.read_bytes())
    content[byte] ^= 4
    path.write_bytes(content)


def damaged_newest(scenario, reference):
    flip_bit(steps_of(scenario.run)[12] / "model.safetensors", 3000)
    scenario.recovers(reference, ["step 12 cannot be used", "model.safetensors is damaged", "going on from step 9"])
    check((scenario.run / "checkpoints/step_000012.superseded-1").is_dir()
          or (scenario.run / "checkpoints/step_000012.damaged-1").is_dir(), "the damaged step is gone")


def foreign_newest(scenario, reference):
    (steps_of(scenario.run)[12] / "optimizer.safetensors").write_bytes(FOREIGN)
    scenario.recovers(reference, ["step 12 cannot be used", "optimizer.safetensors is damaged", "going on from step 9"])


def truncated_newest(scenario, reference):
    os.truncate(steps_of(scenario.run)[12] / "ema.safetensors", 100)
    scenario.recovers(reference, ["step 12 cannot be used", "ema.safetensors is damaged", "going on from step 9"])


def all_damaged(scenario, _):
    for step in steps_of(scenario.run).values():
        (step / "model.safetensors").write_bytes(FOREIGN)
    scenario.before = scenario.contents()
    scenario.refused(["none of the checkpoints can be used", "step 12 cannot be used", "step 9 cannot be used"])


def no_checkpoint_there(scenario, _):
    step = scenario.run / "checkpoints" / "step_000010"
    command = scenario.study.command(scenario.run, "--resume", step)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    check(result.returncode > 0, "a step that is not there was resumed")
    check("step_000010" in result.stderr, f"the step is not named: {result.stderr}")


def changed_configuration(scenario, reference):
    scenario.refused(["batch was 4 and is now 8", "--accept batch"], "batch=8")
    scenario.recovers(reference)


def changed_model(scenario, _):
    scenario.refused(["blocks.0"], "d_model=48", "--accept", "d_model")


def unknown_setting(scenario, _):
    scenario.refused(["did you mean `batch`"], "bach=8")


def other_data(scenario, _):
    other = scenario.study.folder / "other.txt"
    other.write_text("Something else. " * 500)
    scenario.refused(["data was ", "--accept data"], f"data={other}")


def changed_data(scenario, reference):
    text = scenario.study.text
    content = text.read_text()
    text.write_text(content.upper())
    scenario.refused(["was trained on other data", "--accept data"])
    text.write_text(content)
    scenario.recovers(reference)


def edit_record(scenario, change):
    path = scenario.run / "run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def lost_record(scenario, reference):
    (scenario.run / "run.json").unlink()
    scenario.refused(["run.json is missing", "--accept run.json"])
    scenario.recovers(reference, ["run.json was missing"], ["--accept", "run.json"])
    check(json.loads((scenario.run / "run.json").read_text())["status"] == "finished", "no new record")


def damaged_record(scenario, reference):
    os.truncate(scenario.run / "run.json", 200)
    scenario.refused(["run.json is damaged", "--accept run.json"])
    scenario.recovers(reference, ["run.json was missing or damaged"], ["--accept", "run.json"])


def lost_configuration(scenario, _):
    (scenario.run / "config.yaml").unlink()
    scenario.refused(["config.yaml is missing"])


def other_plugin_version(scenario, reference):
    def older(record):
        next(p for p in record["plugins"] if p["name"] == "gdn")["version"] = "0.0.9"
    edit_record(scenario, older)
    scenario.refused(["mixer `gdn` was version 0.0.9 and is now", "--accept plugin:gdn"])
    scenario.refused(["mixer `gdn` was version 0.0.9"], "--accept", "plugin:attention")
    scenario.recovers(reference, ["mixer `gdn` was version 0.0.9"], ["--accept", "plugin:gdn"])


def other_plugin_build(scenario, reference):
    def rebuilt(record):
        next(p for p in record["plugins"] if p["name"] == "muon")["sha256"] = "0" * 64
    edit_record(scenario, rebuilt)
    scenario.recovers(reference, ["optimizer `muon` is another build of version"])
    events = [line for line in (scenario.run / "metrics.jsonl").read_text().splitlines() if "another build" in line]
    check(len(events) == 1, f"{len(events)} events tell of the other build")


def dry_run(scenario, reference):
    """Going on for show changes nothing, also from an older step."""
    def everything():
        return {f: f.read_bytes() for f in scenario.run.rglob("*") if f.is_file()}
    before = everything()
    for step in ("step_000012", "step_000009"):
        command = scenario.study.command(scenario.run, "--dry-run", "--resume", scenario.run / "checkpoints" / step)
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        check(result.returncode == 0 and "tokens/s" in result.stdout, f"{step}: {result.stdout}{result.stderr}")
        check(everything() == before, f"a dry run from {step} changed the run's folder")
    scenario.recovers(reference)


def file_size_limit(scenario, reference):
    """The model's file does not fit under the limit; what the run writes before does."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    scenario.refused(["the checkpoint of step 15 was not saved", "File too large", "step 12 is still there"], preexec_fn=limit)
    scenario.recovers(reference)


def injected(error, words):
    def disk_error(scenario, reference):
        scenario.refused(["the checkpoint of step 15 was not saved", words, "step 12 is still there"],
                         fail_at=f"checkpoint.manifest:1={error}")
        scenario.recovers(reference)
    return disk_error


def mount(*arguments):
    """False where this user may not mount."""
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0


def on_small_disk(scenario, reference):
    """The run on a file system of its own that has room for what is there and half a step more."""
    held = sum(f.stat().st_size for f in scenario.run.rglob("*") if f.is_file())
    step = sum(f.stat().st_size for f in steps_of(scenario.run)[12].iterdir())
    content = scenario.study.folder / "content"
    scenario.run.rename(content)
    scenario.run.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={held + step // 2 + 200_000}", "tmpfs", scenario.run):
        return "mounting needs root"
    try:
        shutil.copytree(content, scenario.run, dirs_exist_ok=True)
        scenario.refused(["the checkpoint of step 15 was not saved", "No space left on device", "step 12 is still there"])
        mount("-o", "remount,size=64m", scenario.run)
        scenario.recovers(reference)
    finally:
        subprocess.run(["umount", scenario.run], check=True)
    return None


def read_only(scenario, reference):
    if not mount("--bind", scenario.run, scenario.run):
        if os.geteuid() == 0:
            return "root may write everywhere, and may not mount here"
        for folder in (scenario.run, scenario.run / "checkpoints"):
            folder.chmod(0o555)
        scenario.refused(["ermission denied"])
        for folder in (scenario.run, scenario.run / "checkpoints"):
            folder.chmod(0o755)
        return None
    try:
        check(mount("-o", "remount,ro,bind", scenario.run), "the folder cannot be mounted read-only")
        scenario.refused(["Read-only file system"])
    finally:
        subprocess.run(["umount", scenario.run], check=True)
    scenario.recovers(reference)
    return None


SCENARIOS = [damaged_newest, foreign_newest, truncated_newest, all_damaged, no_checkpoint_there, changed_configuration,
             changed_model, unknown_setting, other_data, changed_data, lost_record, damaged_record, lost_configuration,
             other_plugin_version, other_plugin_build, dry_run, file_size_limit, injected("ENOSPC", "No space left on device"),
             injected("EIO", "Input/output error"), on_small_disk, read_only]


def main():
    study = Study("study")
    reference, stopped = study.folder / "reference", study.folder / "stopped"
    study.complete(reference)
    status, output = study.run(stopped, fail_at="checkpoint.begin:5")
    check(status == -9 and sorted(steps_of(stopped)) == [9, 12], f"exit status {status}:\n{output}")
    wanted = sys.argv[1:]
    for number, test in enumerate(SCENARIOS):
        if wanted and test.__name__ not in wanted:
            continue
        skipped = test(Scenario(study, stopped, f"{number}_{test.__name__}"), reference)
        print(f"{test.__name__}: " + (f"skipped: {skipped}" if skipped else "passed"), flush=True)


if __name__ == "__main__":
    main()
