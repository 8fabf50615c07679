"""A run at an address: files of an object store (``s3://``, ``gs://``) or of a folder (``file://``).

pyarrow reaches all of them and is there already, since Ray Tune needs it. Credentials are those of the
environment, as the vendors' own programs read them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from automl.errors import RunError
from automl.spec.fields import REMOTE_SCHEMES
from automl.spec.problems import escape

__all__ = ["RemoteStore", "is_remote", "joined", "without_options"]


def is_remote(output: str) -> bool:
    """Whether an output or the address of a run is on storage that only copies reach."""
    return output.startswith(tuple(f"{scheme}://" for scheme in REMOTE_SCHEMES))


def joined(output: str, name: str) -> str:
    """Return the address of a run below an output; options (``?region=…``) stay at the end."""
    plain = without_options(output)
    return f"{plain.rstrip('/')}/{name}{output[len(plain) :]}"


def without_options(address: str) -> str:
    """Return an address without what follows a question mark."""
    return address.partition("?")[0]


class RemoteStore:
    """One run at an address.

    Raises:
        RunError: from every method, when the storage does not answer as it should.
    """

    def __init__(self, address: str) -> None:
        from pyarrow import fs

        self.address = address
        with _told(address):
            self._files, self._root = fs.FileSystem.from_uri(_with_settings(address))
            if isinstance(self._files, fs.LocalFileSystem):
                self._files.create_dir(str(Path(self._root).parent), recursive=True)
        self._is_local = isinstance(self._files, fs.LocalFileSystem)

    def has(self, name: str) -> bool:
        """Whether there is a file."""
        return self.changed_at(name) is not None

    def changed_at(self, name: str) -> float | None:
        """Return when a file was written by the clock of the storage; ``None``: there is none."""
        from pyarrow import fs

        with _told(self.address):
            info = self._files.get_file_info(self._path(name))
        return None if info.type == fs.FileType.NotFound else (info.mtime_ns or 0) / 1e9

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes."""
        from pyarrow import fs

        with _told(self.address):
            selector = fs.FileSelector(self._root, recursive=True, allow_not_found=True)
            found = self._files.get_file_info(selector)
        return {
            os.path.relpath(info.path, self._root): info.size or 0
            for info in found
            if info.type == fs.FileType.File
        }

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with _told(self.address), self._files.open_input_stream(self._path(name)) as stream:
            content: bytes = stream.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Replace a file whole: an object appears when its stream closes, a local file by renaming."""
        path = self._path(name)
        with _told(self.address):
            if not self._is_local:
                with self._files.open_output_stream(path) as stream:
                    stream.write(content)
                return
            self._files.create_dir(os.path.dirname(path), recursive=True)
            temporary = f"{path}.{secrets.token_hex(4)}.part"
            with self._files.open_output_stream(temporary) as stream:
                stream.write(content)
            self._files.move(temporary, path)

    def delete(self, name: str) -> None:
        """Take a file away, if it is there."""
        with contextlib.suppress(OSError):
            self._files.delete_file(self._path(name))

    def now(self) -> float:
        """Return the clock of the storage."""
        name = f"clock-{secrets.token_hex(4)}"
        self.write(name, b"")
        try:
            return self.changed_at(name) or time.time()
        finally:
            self.delete(name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _with_settings(address: str) -> str:
    """Return an address for pyarrow: on S3 a small file is then one request instead of three."""
    if not address.startswith("s3://"):
        return address
    return f"{address}{'&' if '?' in address else '?'}allow_delayed_open=true"


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Turn what storage answers into an error for people."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(
            f"The storage at '{escape(address)}' does not answer as it should ({escape(reason)}). "
            "Check the address, the network, and the credentials in the environment."
        ) from error
