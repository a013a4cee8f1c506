"""Statements that are asked without an owner, and mutants that nothing finds out: each with why."""

from __future__ import annotations

from collections.abc import Mapping

_ACROSS = {
    "Row security shows the key by its hash alone; it says who the owner is.": (
        "api_keys/present api_keys/presented"
    ),
    "A job is known by its number, which row security shows to worker and relay alone.": (
        "jobs/beat jobs/claim jobs/expired_one jobs/fence jobs/mark_published jobs/release"
        " jobs/succeed"
    ),
    "The relay's and the worker's work for all owners; the API's role cannot do it.": (
        "jobs/alive jobs/asked jobs/dead jobs/depth jobs/due jobs/expired webhooks/claim"
        " webhooks/delivered webhooks/not_delivered uploads/expired tidying/abandoned_videos"
        " tidying/idempotency_keys tidying/indexed_anew tidying/searches"
        " tidying/webhook_deliveries"
    ),
    "Processes belong to nobody.": "jobs/forget_workers jobs/worker_beat",
    "For operators, who see the work of all owners; other roles cannot read it.": (
        "overview/dead overview/owners overview/running overview/searches overview/spaces"
        " overview/workers owners/everyone"
    ),
    "Embedding spaces are of all owners.": (
        "spaces/activate spaces/add spaces/find spaces/hold spaces/hold_alone"
        " spaces/own_index_is_valid spaces/own_indexes spaces/remove spaces/retire spaces/select"
        " spaces/set_source"
    ),
    "It reads nobody's rows.": (
        "rpc/functions roles/dangers search/hybrid_report search/now search/within"
    ),
}
ACROSS: Mapping[str, str] = {name: why for why, names in _ACROSS.items() for name in names.split()}

_SURVIVORS: Mapping[str, tuple[str, ...]] = {
    "What is joined refers to the owner's row by a key that has the owner in it.": (
        "scenes/count_channels: s.owner_id = c.owner_id",
        "scenes/fail_channels: c.owner_id = s.owner_id",
        "scenes/find_keyframe: s.owner_id = k.owner_id",
        "scenes/find_keyframe: v.owner_id = s.owner_id",
        "scenes/reset_channels: c.owner_id = s.owner_id",
        "search/coverage: s.owner_id = c.owner_id",
        "search/coverage: v.owner_id = s.owner_id",
        "search/hits: f.owner_id = s.owner_id",
        "search/hits: v.owner_id = s.owner_id",
        "search/pool: s.owner_id = v.owner_id",
        "search/pool: s.owner_id = v.owner_id #2",
        "search/scene_vectors: v.owner_id = e.owner_id",
        "spaces/count_elsewhere: here.owner_id = e.owner_id",
        "spaces/count_elsewhere: v.owner_id = e.owner_id",
        "spaces/known_vectors: e.owner_id = k.owner_id",
        "spaces/lacking: c.owner_id = s.owner_id",
        "spaces/lacking: e.owner_id = s.owner_id",
        "spaces/lacking: e.owner_id = s.owner_id #2",
        "spaces/lacking: k.owner_id = s.owner_id",
        "spaces/lacking: v.owner_id = s.owner_id",
        "spaces/say_missing: e.owner_id = c.owner_id",
        "spaces/standing: c.owner_id = s.owner_id",
        "spaces/standing: e.owner_id = s.owner_id",
        "spaces/standing: e.owner_id = s.owner_id #2",
        "spaces/standing: v.owner_id = s.owner_id",
        "spaces/take_over: c.owner_id = x.owner_id",
        "tidying/idempotency_keys: k.owner_id = old.owner_id",
        "videos/best_keyframes: k.owner_id = s.owner_id",
        "videos/best_keyframes: s.owner_id = v.owner_id",
        "videos/fail: s.owner_id = v.owner_id",
        "videos/select: s.owner_id = v.owner_id",
        "webhooks/claim: e.owner_id = d.owner_id",
        "webhooks/claim: e.owner_id = d.owner_id #2",
        "webhooks/disable_dead: d.owner_id = e.owner_id",
    ),
    "Another predicate of the statement keeps the owner too; without any of them it leaks.": (
        "public.batch_score_scenes_clip: e.owner_id = filter_user_id",
        "public.batch_score_scenes_clip: v.owner_id = filter_user_id",
        "public.find_similar_scenes: e.owner_id = filter_user_id",
        "public.find_similar_scenes: v.owner_id = filter_user_id",
        "public.highlight_scenes: s.owner_id = filter_user_id",
        "public.highlight_scenes: v.owner_id = filter_user_id",
        "reconcile/known: j.owner_id = :owner_id",
        "reconcile/known: k.owner_id = :owner_id",
        "reconcile/known: s.owner_id = :owner_id",
        "reconcile/videos: j.owner_id = :owner_id",
        "reconcile/videos: k.owner_id = :owner_id",
        "reconcile/videos: s.owner_id = :owner_id",
        "scenebook.nearest_in_space: e.owner_id = %3$L",
        "scenebook.nearest_in_space: e.owner_id = filter_user_id",
        "scenebook.nearest_in_space: e.owner_id = filter_user_id #2",
        "scenebook.nearest_in_space: s.owner_id = filter_user_id",
        "scenebook.nearest_in_space: v.owner_id = filter_user_id",
        "scenebook.scenes_by_words: s.owner_id = filter_user_id",
        "scenebook.scenes_by_words: v.owner_id = filter_user_id",
        "scenes/refresh_sidecars: c.owner_id = :owner_id",
        "scenes/refresh_sidecars: s.owner_id = :owner_id",
        "scenes/refresh_sidecars: s.owner_id = :owner_id #2",
        "scenes/set_transcript: v.owner_id = :owner_id",
        "spaces/remove_some_vectors: owner_id = :owner_id",
        "videos/edit: owner_id = :owner_id",
        "videos/edit: v.owner_id = :owner_id",
        "videos/set_media: owner_id = :owner_id",
        "videos/set_media: v.owner_id = :owner_id",
    ),
    "Without the owner the foreign key, which has the owner in it, refuses the new row.": (
        "jobs/add: before.owner_id = :owner_id",
        "scenes/add_channels: s.owner_id = :owner_id",
        "searches/add: o.id = :owner_id",
        "words/add: s.owner_id = :owner_id",
    ),
    "What it shows was found by functions that keep the owner.": (
        "public.search_scenes_by_text: s.owner_id = filter_user_id",
        "public.search_scenes_hybrid: s.owner_id = owner",
        "scenebook.matched_lines: s.owner_id = filter_user_id",
    ),
    "The row is looked at twice, when it is found and when it is locked; either is enough here.": (
        "webhooks/claim: d.next_at <= now()",
        "webhooks/claim: d.next_at <= now() #2",
        "webhooks/claim: d.state = 'pending'",
        "webhooks/claim: d.state = 'pending' #2",
    ),
    "Only what is running has a lease; a constraint of the table says so.": (
        "jobs/expired_one: state = 'running'",
    ),
    "It asks whether there are any scenes at all, of a generation that is an older one.": (
        "videos/fail: s.generation = v.generation",
    ),
    "It counts the scenes of all owners; tests/test_operations.py has some that must not count.": (
        "overview/spaces",
    ),
    "A ring too many costs a message: jobs/claim says whether there is anything to do.": (
        "jobs/due",
    ),
}
SURVIVORS: Mapping[str, str] = {name: why for why, names in _SURVIVORS.items() for name in names}

# Ids are random: sometimes the strangers' come first and use up the limit, or are as good, and
# sometimes they do not.
BY_CHANCE = {
    "spaces/remove_some_vectors: owner_id = :owner_id #2",
    "videos/best_keyframes: s.generation = v.generation",
}

# Without any predicate on the owner nothing is found out either, for the reason of their mutants.
BARE = {
    "jobs/add", "scenes/add_channels", "searches/add", "scenebook.matched_lines",
    "public.search_scenes_by_text", "public.search_scenes_hybrid",
}  # fmt: skip
# What another world of the same owner may be told by, and why.
TOLD: Mapping[tuple[str, str], str] = {
    (
        "videos/fetched",
        "deleted",
    ): "What is written into a video that is being deleted goes with it.",
}
