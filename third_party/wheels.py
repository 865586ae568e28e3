#!/usr/bin/env python3
"""Checks wheels against a pinned requirements file and unpacks parts of them.

    wheels.py missing REQUIREMENTS FOLDER                 prints the pins that FOLDER lacks
    wheels.py unpack REQUIREMENTS FOLDER INTO PREFIX...   unpacks members that start with a PREFIX
"""

import hashlib
import os
import pathlib
import sys
import time
import zipfile


def read_pins(requirements):
    """Returns {sha256: "name==version"} of a requirements file with one hash a line."""
    pins = {}
    for line in pathlib.Path(requirements).read_text().splitlines():
        if line and not line.startswith("#"):
            name, digest = line.split(" --hash=sha256:")
            pins[digest.strip()] = name.strip()
    return pins


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 22), b""):
            digest.update(block)
    return digest.hexdigest()


def find_wheels(pins, folder):
    """Returns {sha256: path} of the pinned wheels that the folder holds."""
    found = {sha256_of(path): path for path in pathlib.Path(folder).glob("*.whl")}
    return {digest: path for digest, path in found.items() if digest in pins}


def unpack_member(archive, member, into):
    target = pathlib.Path(into, member.filename)
    if target.is_file():
        target.unlink()  # may be a link to a file in use: never write into it
    archive.extract(member, into)
    if target.is_file():
        # The date in the wheel, so that unpacking again makes no build stale.
        stamp = time.mktime(member.date_time + (0, 0, -1))
        os.utime(target, (stamp, stamp))
        if (member.external_attr >> 16) & 0o111:
            target.chmod(0o755)


def unpack(wheels, into, prefixes):
    for wheel in sorted(wheels):
        print(f"unpacking {wheel.name}", flush=True)
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                if member.filename.startswith(tuple(prefixes)):
                    unpack_member(archive, member, into)


def main(arguments):
    verb, requirements, folder, *rest = arguments
    pins = read_pins(requirements)
    wheels = find_wheels(pins, folder)
    missing = [name for digest, name in pins.items() if digest not in wheels]
    if verb == "missing":
        print("\n".join(missing))
    elif missing:
        sys.exit(f"{folder} lacks {', '.join(missing)}, or what it has is another file of that name")
    else:
        unpack(wheels.values(), rest[0], rest[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
