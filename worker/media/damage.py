"""Keeps account of what could not be read and says so in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field

# Headers round, and sound may end a little before the pictures.
TOLERANCE_MS = 1000
TOLERANCE_SHARE = 0.05


@dataclass(slots=True)
class Damage:
    """Counts of errors during one pass; notes are finished clauses."""

    broken_packets: int = 0
    broken_sound: int = 0
    broken_text: int = 0
    ended_early: bool = False
    notes: list[str] = field(default_factory=list)

    def sentence(self, read_ms: int, declared_ms: int | None) -> str | None:
        """What is wrong with the file, or None if all of it was read."""
        parts = list(self.notes)
        if declared_ms is not None:
            missing_ms = declared_ms - read_ms
            if missing_ms > max(TOLERANCE_MS, TOLERANCE_SHARE * declared_ms):
                parts.append(
                    f"only {read_ms / 1000:.1f} s of {declared_ms / 1000:.1f} s could be read"
                )
            elif self.ended_early:
                parts.append("the file ends in the middle of its data")
        elif self.ended_early:
            parts.append(f"reading stopped after {read_ms / 1000:.1f} s")
        for count, what in (
            (self.broken_packets, "pictures"),
            (self.broken_sound, "pieces of sound"),
            (self.broken_text, "subtitles"),
        ):
            if count:
                parts.append(f"damaged {what} skipped: {count}")
        return f"The file is damaged or incomplete: {'; '.join(parts)}." if parts else None
