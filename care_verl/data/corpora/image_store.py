"""Images where a source has them: in its rows, a zip file that is never unpacked, or a folder."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from care_verl.data.corpora.source import ImageLoader, ImageUnavailableError, SourceError

# An entry of a zip file can unpack to any size; no image of a corpus comes near this one.
_MOST_BYTES = 1 << 28


def embedded_image(cell: Mapping[str, Any] | None) -> ImageLoader:
    """Gives the bytes of a cell of `datasets`' Image type, {bytes, path}."""

    def load() -> bytes:
        data = cell.get("bytes") if cell else None
        if not data:
            raise ImageUnavailableError("missing image", "the cell holds no bytes")
        return bytes(data)

    return load


class ZippedImages:
    """Images read straight from a zip file, one at a time."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError when the file is cut short or is no zip file."""
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise SourceError(
                f"{path} ({path.stat().st_size:,} bytes) is no whole zip file: {error}. Its table "
                "of contents stands at the end, so most likely the download was cut short: "
                "fetch the file again"
            ) from error
        self._names = set(self._zip.namelist())

    def loader(self, name: str) -> ImageLoader:
        """Gives the image's bytes."""

        def load() -> bytes:
            entry = next((entry for entry in _entries(name) if entry in self._names), None)
            if entry is None:
                raise ImageUnavailableError("missing image", name)
            size = self._zip.getinfo(entry).file_size
            if size > _MOST_BYTES:
                raise ImageUnavailableError("unreadable image", f"{name}: {size} bytes")
            try:
                return self._zip.read(entry)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise ImageUnavailableError("unreadable image", f"{name}: {error}") from error

        return load


class FolderImages:
    """Images of an unpacked folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def loader(self, name: str) -> ImageLoader:
        """Gives the image's bytes. A name that leads out of the folder is a missing image."""

        def load() -> bytes:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ImageUnavailableError("missing image", f"{name} leads out of {self._folder}")
            paths = (self._folder / entry for entry in _entries(name))
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                raise ImageUnavailableError("missing image", name)
            return path.read_bytes()

        return load


def open_images(
    folder: Path, archive: str, unpacked: str
) -> tuple[ZippedImages | FolderImages, list[Path]]:
    """The images of `folder`, from the zip file `archive` or else the folder `unpacked`.

    Returns them and the files that tell one copy from another.
    Raises SourceError when neither is there.
    """
    if (folder / archive).is_file():
        return ZippedImages(folder / archive), [folder / archive]
    if (folder / unpacked).is_dir():
        return FolderImages(folder), []
    raise SourceError(
        f"{folder}: neither {archive} nor a folder {unpacked}/ found. "
        f"Place {archive} there as it is on the hub, or what it unpacks to"
    )


def _entries(name: str) -> tuple[str, str]:
    """Where an image may stand: under its path as the row has it, or below `images/`."""
    plain = name.removeprefix("./")
    return plain, f"images/{plain}"
