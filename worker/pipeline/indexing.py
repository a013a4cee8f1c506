"""How a video becomes searchable scenes: the stages in order, like a table of contents.

    fetch -> probe -> segment -> transcribe -> describe -> embed_text -> finalize
                              '-> visual_clip ------------------------'

Only an import is fetched; an upload begins with its probe.

`scenebook.jobs.FOLLOWS` holds the arrows. Each stage reads, works without a transaction, and
writes once at the end, or batch by batch, replacing what was there: running twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scenebook.model import Stage
from worker.pipeline.claim import Claim
from worker.pipeline.delete import delete
from worker.pipeline.describe import describe
from worker.pipeline.embed_text import embed_text
from worker.pipeline.fetching import fetch
from worker.pipeline.finalize import finalize
from worker.pipeline.probe import probe
from worker.pipeline.segment import segment
from worker.pipeline.tools import Tools
from worker.pipeline.transcribe import transcribe
from worker.pipeline.visual_clip import visual_clip

STAGES: Mapping[Stage, Callable[[Tools, Claim], None]] = {
    Stage.FETCH: fetch,  # the source of an import, from its URL
    Stage.PROBE: probe,  # what is in the file, and whether it may be decoded at all
    Stage.SEGMENT: segment,  # one decode pass: cuts, keyframes and their quality, audio, subtitles
    Stage.TRANSCRIBE: transcribe,  # who says what, when, and in which scene
    Stage.VISUAL_CLIP: visual_clip,  # one CLIP vector for the best frame of each scene
    Stage.DESCRIBE: describe,  # sentences of a vision model about each scene
    Stage.EMBED_TEXT: embed_text,  # vectors of transcripts, descriptions and summaries
    Stage.FINALIZE: finalize,  # sidecars, the honest status, and the switch of generations
    Stage.DELETE: delete,  # every row and every file
}
