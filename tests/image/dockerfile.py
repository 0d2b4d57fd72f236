"""Does what the Dockerfile says where no base image can be pulled.

    dockerfile.py build CONTEXT ROOT     the first stage's commands on this machine: ROOT/build/pollux
    dockerfile.py files CONTEXT ROOT TO  the files of the last stage, out of ROOT, into TO
    dockerfile.py last CONTEXT ROOT TO   TO becomes a folder for `docker build` of the last stage alone
"""

import fnmatch
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"


def stages(context):
    """The instructions of each stage as (name, arguments), lines joined and comments left out."""
    lines = (context / "Dockerfile").read_text().splitlines()
    joined, found = "", []
    for line in lines:
        if line.lstrip().startswith("#") or not line.strip():
            continue
        joined += line.rstrip("\\")
        if line.endswith("\\"):
            continue
        name, arguments = joined.strip().split(None, 1)
        if name == "FROM":
            found.append([])
        found[-1].append((name, arguments))
        joined = ""
    return found


def copies(stage):
    """The COPY instructions of a stage as (from another stage?, source, destination)."""
    for name, arguments in stage:
        if name == "COPY":
            words = shlex.split(arguments)
            from_stage = words[0].startswith("--from=")
            words = words[1:] if from_stage else words
            for source in words[:-1]:
                yield from_stage, source, words[-1]


def is_sent(context, path):
    """Whether .dockerignore, a list of what is let through, lets a path through."""
    kept = [line[1:] for line in (context / ".dockerignore").read_text().split() if line[0] == "!"]
    return any(path == each or path.startswith(each + "/") or fnmatch.fnmatch(path, each)
               for each in kept)


def copy(context, source, to):
    """Copies what COPY would have been sent."""
    if not is_sent(context, source.rstrip("/")):
        sys.exit(f"FAILED  .dockerignore leaves {source} out, which the Dockerfile copies")
    path = context / source
    if path.is_dir():
        shutil.copytree(path, to, dirs_exist_ok=True)
    else:
        target = to / path.name if to.is_dir() else to
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def build(context, root):
    """Runs the build stage, but for its base: this machine's compiler stands for it."""
    work = root / "build"
    # What cargo built last time stays; all else begins anew, as in a new layer.
    if work.exists():
        for entry in work.iterdir():
            if entry.name != "target":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    work.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    environment.pop("CARGO_TARGET_DIR", None)
    for name, arguments in stages(context)[0]:
        if name == "ENV":
            environment.update(word.split("=", 1) for word in shlex.split(arguments))
        elif name == "COPY":
            for _, source, to in copies([(name, arguments)]):
                copy(context, source, work / to)
        elif name == "RUN":
            print(f"        {arguments}", flush=True)
            subprocess.run(["sh", "-ec", arguments], cwd=work, env=environment, check=True)
    (root / AUTHORITIES).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2("/" + AUTHORITIES, root / AUTHORITIES)


def files(context, root, to):
    """What the last stage copies, into a folder."""
    for from_stage, source, target in copies(stages(context)[-1]):
        at = to / target.lstrip("/")
        if from_stage:
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / source.lstrip("/"), at)
        else:
            copy(context, source, at)


def last(context, root, to):
    """A folder whose Dockerfile has the last stage word for word, after a stage of files alone."""
    text = (context / "Dockerfile").read_text()
    stage = text[text.rindex("\nFROM ") + 1:]
    wanted = [source for from_stage, source, _ in copies(stages(context)[-1]) if from_stage]
    lines = [f"COPY {json.dumps(['built' + source, source])}" for source in wanted]
    (to / "Dockerfile").write_text("\n".join(["FROM scratch AS build", *lines, "", stage]))
    for source in wanted:
        (to / ("built" + source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / source.lstrip("/"), to / ("built" + source))
    for from_stage, source, _ in copies(stages(context)[-1]):
        if not from_stage:
            copy(context, source, to / source)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"build": build, "files": files, "last": last}[command](*(Path(path).resolve() for path in paths))
