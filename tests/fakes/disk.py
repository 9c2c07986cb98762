"""A disk whose power can be cut: an ext4 image on a loop device.

The image contains exactly the data that the file system has written. So a copy of the image has the contents of a disk
after a cut. With ``commit=300``, the file system writes only synced data during a test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.faults import leave_out

MEGABYTES = 16
TOOLS = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class Disk:
    """An image, and the directory in which it is mounted."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image, self.place = image, place
        place.mkdir(exist_ok=True)
        mounted = subprocess.run(
            ["mount", "-o", "loop,commit=300", image, place], env=TOOLS, capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            leave_out(f"no power is cut, because no image can be mounted: {mounted.stderr.strip()}")

    def leave(self) -> None:
        subprocess.run(["umount", self.place], env=TOOLS, check=True)

    def sync(self) -> None:
        subprocess.run(["sync", "--file-system", self.place], check=True)

    def cut(self, number: int = 0) -> Path:
        """Return a copy of the image, with the contents after a power cut at this moment."""
        return Path(shutil.copyfile(self.image, self.image.with_suffix(f".{number}")))


@contextlib.contextmanager
def new_disk(folder: Path) -> Iterator[Disk]:
    """Create a new disk, mounted in a folder, until the block ends."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    subprocess.run(["mkfs.ext4", "-q", image], env=TOOLS, check=True)
    disk = Disk(image, folder / "disk")
    try:
        yield disk
    finally:
        disk.leave()
