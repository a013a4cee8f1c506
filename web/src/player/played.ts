/** Everything that the player shows of one video for one query, and where it is. */
import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { linesOf } from "../api/lines";
import type { Utterance, VideoDetail } from "../api/types";
import { type Loaded, useLoaded } from "../parts/loaded";
import { type Query, toParams } from "../query";
import { type Playback, usePlayback } from "./playback";
import { NOT_ASKED, type Relevance, relevanceIn } from "./relevance";
import { type Scenes, sceneAt, useScenes } from "./scenes";
import { wordsToMark } from "./spoken";

export interface Played {
  playback: Playback;
  scenes: Scenes;
  lines: Loaded<readonly Utterance[]>;
  found: Loaded<Relevance>;
  /** What was found; nothing while it is searched. */
  relevance: Relevance;
  /** Words to mark in the transcript. */
  words: ReadonlySet<string>;
  /** The scene under the playhead, as its place in the list, and its best picture. */
  current: ReadonlySignal<number>;
  still: ReadonlySignal<string | null>;
}

export function usePlayed(video: VideoDetail, query: Query): Played {
  const { id, coverage } = video;
  const playback = usePlayback();
  const scenes = useScenes(id);
  const lines = useLoaded(id, (signal) => linesOf(id, signal));
  const found = useLoaded(`${id} ${toParams(query)}`, (signal) => relevanceIn(id, query, signal));
  const relevance = found.data ?? NOT_ASKED;
  useEffect(() => {
    if (scenes.whole && scenes.list.length !== coverage.scenes) scenes.again();
  }, [coverage.scenes, video.status]);
  // The lines that are there stay while more of them are loaded.
  const spoken = useRef(coverage.transcript);
  useEffect(() => {
    if (spoken.current !== coverage.transcript) lines.again();
    spoken.current = coverage.transcript;
  }, [coverage.transcript]);

  const list = useSignal(scenes.list);
  list.value = scenes.list;
  const current = useComputed(() => sceneAt(list.value, playback.timeMs.value));
  const still = useComputed(() => list.value[current.value]?.keyframes[0]?.url ?? null);
  const words = useMemo(
    () =>
      wordsToMark(
        query.text,
        [...relevance.places.values()].map(({ hit }) => hit),
      ),
    [query.text, relevance],
  );
  return { playback, scenes, lines, found, relevance, words, current, still };
}
