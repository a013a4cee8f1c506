"""Decodes and writes the sound in a thread of its own, beside the pictures."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import av

from scenebook.local_disk import FULL, writing
from worker.media.audio import AudioWriter
from worker.media.damage import Damage

# A second of sound has about fifty packets. They are handed over in batches, because waking the
# other thread for each costs more than decoding it.
BATCH = 32
MAX_WAITING = 12


class SoundTrack:
    """Takes the packets of the audio stream; FFmpeg works outside the interpreter's lock."""

    def __init__(self, writer: AudioWriter, damage: Damage) -> None:
        self._writer = writer
        self._damage = damage
        self._batch: list[Any] = []
        self._queue: queue.Queue[list[Any] | float | None] = queue.Queue(MAX_WAITING)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._thread.start()

    def add(self, packet: Any) -> None:
        """One packet, in the order of the file."""
        self._batch.append(packet)
        if len(self._batch) == BATCH:
            self._hand_over()

    def align(self, zero_s: float) -> None:
        """Set the time of the first picture, in the container's seconds."""
        self._hand_over()
        self._queue.put(zero_s)

    def stop(self) -> None:
        """Wait until everything that was added is done."""
        if self._thread.is_alive():
            self._hand_over()
            self._queue.put(None)
            self._thread.join()

    def close(self) -> tuple[Path | None, bool]:
        """Finish the file: its path, None if there was no sound; and whether it is silent.

        Raises OutOfReach if the disk is full.
        """
        self.stop()
        try:
            if self._failure is not None:
                raise self._failure
            return self._writer.close()
        except (av.error.FFmpegError, ValueError, OSError) as error:
            self._writer.abandon()
            number = getattr(error, "errno", None)
            if number in FULL:
                with writing(self._writer.path):
                    raise OSError(number, "no room for the sound") from error
            # The whole of the error names a path of this machine.
            why = getattr(error, "strerror", None) or type(error).__name__
            self._damage.notes.append(f"the sound could not be kept ({why})")
            return None, True

    def _hand_over(self) -> None:
        self._queue.put(self._batch)
        self._batch = []

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is not None:
                continue  # the reader must never wait for a full queue
            try:
                if isinstance(item, float):
                    self._writer.align(item)
                else:
                    for packet in item:
                        self._decode(packet)
            except BaseException as error:  # noqa: BLE001 - a thread's door: close() raises it
                self._failure = error

    def _decode(self, packet: Any) -> None:
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            self._damage.broken_sound += 1
            return
        for frame in frames:
            self._writer.add(frame)
