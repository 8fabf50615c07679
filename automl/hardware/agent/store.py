"""Uploaded files, named after their own SHA-256, in a folder with a limit.

A file is streamed to disk, checked, and only then there. Nothing that a client sends becomes part of
a path but a checked hash. When the limit is reached, files that no job needs go first, the one that
was used longest ago before the others.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from automl.hardware.agent.checks import RefusedError
from automl.hardware.agent.onnx_file import OnnxFileError, check_onnx_file
from automl.hardware.agent.protocol import FileKind

__all__ = ["FileStore", "Source"]

_CHUNK_BYTES = 1 << 16
_SPARE_BYTES = 32 << 20
"""Left free on the disk: a device that fills its disk often does not start again."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)
_SUFFIX: dict[FileKind, str] = {"models": ".onnx", "images": ".image", "frames": ".npy"}

_Key = tuple[FileKind, str]


class Source(Protocol):
    """What a file is read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes; none at the end."""
        ...


@dataclass
class _Held:
    size_bytes: int
    used: int
    """Larger: used later."""


class FileStore:
    """The files of an agent. Safe to use from several threads."""

    def __init__(self, folder: Path, *, max_upload_bytes: int, max_store_bytes: int) -> None:
        """Keep files in a folder, which is empty and belongs to this agent alone."""
        self.max_upload_bytes = max_upload_bytes
        self.max_store_bytes = max_store_bytes
        self._folder = folder
        self._lock = threading.Lock()
        self._files: dict[_Key, _Held] = {}
        self._needed: Counter[_Key] = Counter()
        self._reserved_bytes = 0
        self._uses = 0
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, kind: FileKind, sha256: str) -> Path:
        """Return where a file lies, or would lie."""
        return self._folder / f"{sha256}{_SUFFIX[kind]}"

    def hold(self, files: Iterable[_Key]) -> list[_Key]:
        """Keep files from going until they are released, or return those that are not there."""
        wanted = list(files)
        with self._lock:
            missing = sorted(key for key in wanted if not self._is_there(key))
            if not missing:
                self._needed.update(wanted)
                for key in wanted:
                    self._touch(key)
            return missing

    def release(self, files: Iterable[_Key]) -> None:
        """Let files go that were held."""
        with self._lock:
            self._needed.subtract(files)
            self._needed += Counter()  # drops those that nobody needs

    def receive(self, kind: FileKind, sha256: str, length: int, source: Source) -> None:
        """Take a file of so many bytes; one that is there already is read and forgotten.

        Raises:
            RefusedError: 400 when fewer bytes come, 413 and 507 when it does not fit, 422 when its
                content is not what was announced or not what may be run here.
        """
        self._reserve(length)
        try:
            temporary = self._write(sha256, length, source)
            try:
                _check_content(kind, temporary)
                self._keep((kind, sha256), temporary, length)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise _no_room(f"the disk of the device is full ({error.strerror})") from error
        finally:
            with self._lock:
                self._reserved_bytes -= length

    def _is_there(self, key: _Key) -> bool:
        """Whether a file can be used; systems tidy up old files in temporary folders."""
        if key in self._files and not self.path(*key).exists():
            del self._files[key]
        return key in self._files

    def _reserve(self, length: int) -> None:
        with self._lock:
            if length > self.max_upload_bytes:
                raise RefusedError(
                    413,
                    "too-large",
                    f"a file may have {self.max_upload_bytes:,} bytes; got {length:,}. Start the "
                    "agent with a larger --max-upload",
                )
            while self._used_bytes() + length > self.max_store_bytes:
                self._drop_oldest()
            while shutil.disk_usage(self._folder).free < length + _SPARE_BYTES:
                self._drop_oldest()
            self._reserved_bytes += length

    def _used_bytes(self) -> int:
        return self._reserved_bytes + sum(held.size_bytes for held in self._files.values())

    def _drop_oldest(self) -> None:
        free = [key for key in self._files if not self._needed[key]]
        if not free:
            raise _no_room("the device has no room for another file until a job is done")
        oldest = min(free, key=lambda key: self._files[key].used)
        del self._files[oldest]
        self.path(*oldest).unlink(missing_ok=True)

    def _write(self, sha256: str, length: int, source: Source) -> Path:
        handle, name = tempfile.mkstemp(dir=self._folder, prefix="upload-")
        try:
            digest, left = hashlib.sha256(), length
            with os.fdopen(handle, "wb") as stream:
                while left and (chunk := source.read(min(left, _CHUNK_BYTES))):
                    digest.update(chunk)
                    stream.write(chunk)
                    left -= len(chunk)
            if left:
                raise RefusedError(
                    400, "cut-off", f"{length:,} bytes were announced; {left:,} are missing"
                )
            if digest.hexdigest() != sha256:
                raise RefusedError(
                    422, "hash", f"the SHA-256 of what came is {digest.hexdigest()}, not {sha256}"
                )
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name)

    def _keep(self, key: _Key, temporary: Path, length: int) -> None:
        with self._lock:
            os.replace(temporary, self.path(*key))
            self._files[key] = _Held(length, 0)
            self._touch(key)

    def _touch(self, key: _Key) -> None:
        self._uses += 1
        self._files[key].used = self._uses


def _check_content(kind: FileKind, path: Path) -> None:
    if kind != "models":
        return  # decoded in the process that measures, which may die
    try:
        check_onnx_file(path)
    except OnnxFileError as error:
        raise RefusedError(422, "refused", f"the model was refused: {error}") from error


def _no_room(why: str) -> RefusedError:
    return RefusedError(507, "no-room", why)
