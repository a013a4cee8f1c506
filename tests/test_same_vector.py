"""A picture has one vector in a space, whether it is indexed or asked for."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

import numpy as np
from pgvector import HalfVector

from scenebook.db.spaces import active_space
from scenebook.encoders.checkpoints import FIGURES
from scenebook.model import Channel, VideoStatus
from scenebook.query_encoders import QueryEncoders
from scenebook.settings import Settings
from scenebook.synthetic.dataset import png, read_gate
from tests.pictures import gradient
from tests.pipelines import a_pipeline
from tests.sized import index, rows

# Half a step of half precision between 0.5 and 1, and the rounding of another batch.
ROUNDING = 3e-4


def test_a_stored_vector_is_the_one_that_the_same_picture_has_as_a_query(
    settings: Settings, alice: UUID, bob: UUID
) -> None:
    drawn = [png(pair.drawing, 256) for pair in read_gate()[::100]]
    pictures = [*drawn, gradient((640, 360)), gradient((90, 160), orientation=6)]
    seeing = settings.model_copy(
        update={"clip_enabled": True, "clip_model_name": FIGURES, "clip_timeout_s": 30.0}
    )
    with a_pipeline(seeing) as pipeline, closing(QueryEncoders(seeing)) as queries:
        index(pipeline, bob, [[drawn[1]]])
        video = index(pipeline, alice, [[picture] for picture in pictures])
        assert video.status is VideoStatus.READY, video.reason
        with pipeline.tools.db.transaction(owner_id=alice) as tx:
            space = active_space(tx, Channel.VISUAL_CLIP)
        assert space is not None
        asked = np.stack([queries.encode_image(space, picture) for picture in pictures])
    found = rows(
        str(settings.database_url),
        "select e.embedding::text from public.scene_embeddings as e"
        " join public.scenes as s on s.id = e.scene_id"
        " where e.video_id = %s order by s.scene_index",
        video.id,
    )
    stored = np.stack([HalfVector.from_text(str(text)).to_numpy() for (text,) in found])
    assert np.abs(stored - asked).max() < ROUNDING
    cosines = asked @ asked.T - 2 * np.eye(len(asked))
    assert cosines.max() < 0.99  # or any vector would do
