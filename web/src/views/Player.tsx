/** Plays a video from the matched moment, with its scenes, its transcript and its facts. */
import { useEffect, useMemo } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { api, data, Problem } from "../api/client";
import type { VideoDetail } from "../api/types";
import { clock } from "../format";
import { VideoBadge } from "../parts/badges";
import { useLoaded } from "../parts/loaded";
import { Failure } from "../parts/Message";
import { Missing } from "../parts/Missing";
import { useTitle } from "../parts/title";
import { Controls, shortcutsOf } from "../player/Controls";
import { Facts } from "../player/Facts";
import { type Shortcut, useShortcuts } from "../player/keys";
import type { Playback } from "../player/playback";
import { type Played, usePlayed } from "../player/played";
import { useLive } from "../player/progress";
import { SceneNow } from "../player/SceneNow";
import { Stage } from "../player/Stage";
import { State } from "../player/State";
import { Strip } from "../player/Strip";
import { Transcript } from "../player/Transcript";
import { Within } from "../player/Within";
import { asks, fromUrl, type Query, toParams } from "../query";
import "./player.css";

export function Player() {
  const { id = "" } = useRoute().params;
  return <PlayerOf key={id} id={id} />;
}

function PlayerOf({ id }: { id: string }) {
  const path = { video_id: id };
  const loaded = useLoaded(id, (signal) =>
    data(api.GET("/v1/videos/{video_id}", { params: { path }, signal })),
  );
  const video = useLive(loaded.data, loaded.again);
  const { error, again } = loaded;
  useTitle(video?.title ?? "Player");
  if (error instanceof Problem && [404, 422].includes(error.status))
    return <Missing what="video" why={GONE} />;
  return (
    <>
      {error !== undefined && <Failure error={error} retry={again} />}
      {video ? <Ready video={video} again={again} /> : error === undefined && <Waiting />}
    </>
  );
}

function Ready({ video, again }: { video: VideoDetail; again: () => void }) {
  const { url, path, route } = useLocation();
  const search = new URL(url, location.origin).search;
  const query = useMemo(() => fromUrl(search), [search]);
  const asked = asks(query);
  const played = usePlayed(video, query);
  const { playback, found, relevance } = played;
  useMoment(playback, search);
  const shortcuts = useMemo(() => shortcutsOf(playback, relevance), [playback, relevance]);
  useShortcuts(shortcuts);
  const change = (changed: Partial<Query>) => {
    const params = toParams({ ...query, ...changed });
    route(params.size ? `${path}?${params}` : path);
  };

  return (
    <div class="player">
      <div class="player-head">
        <div class="player-title">
          <h1 dir="auto">{video.title}</h1>
          <p class="row soft small">
            <VideoBadge status={video.status} />
            {video.duration_ms !== null && <span>{clock(video.duration_ms)}</span>}
            {asked && <a href={`/search?${toParams(query)}`}>Search all videos</a>}
          </p>
        </div>
        <Within
          query={query}
          asked={asked}
          found={found.data}
          error={found.error}
          again={found.again}
          change={change}
        />
      </div>
      <State video={video} again={again} />
      <Body video={video} played={played} asked={asked} shortcuts={shortcuts} />
      <Facts video={video} />
    </div>
  );
}

interface BodyProperties {
  video: VideoDetail;
  played: Played;
  asked: boolean;
  shortcuts: readonly Shortcut[];
}

function Body({ video, played, asked, shortcuts }: BodyProperties) {
  const { playback, scenes, lines, relevance, words, current, still } = played;
  const lastMs = scenes.list.at(-1)?.end_ms ?? 0;
  return (
    <div class="player-body">
      <div class="player-left">
        <Stage video={video} playback={playback} lines={lines.data ?? NO_LINES} still={still} />
        <Controls playback={playback} relevance={relevance} asked={asked} shortcuts={shortcuts} />
      </div>
      <Transcript
        video={video}
        lines={lines.data}
        error={lines.error}
        again={lines.again}
        words={words}
        playback={playback}
      />
      <div class="player-scenes">
        {scenes.error !== undefined && <Failure error={scenes.error} retry={scenes.again} />}
        <Strip
          scenes={scenes.list}
          count={Math.max(video.scene_count, scenes.list.length)}
          durationMs={Math.max(video.duration_ms ?? 0, lastMs, 1)}
          relevance={relevance}
          asked={asked}
          playback={playback}
          current={current}
        />
        <SceneNow scene={scenes.list[current.value]} relevance={relevance} asked={asked} />
      </div>
    </div>
  );
}

const GONE = "It may have been deleted, or the link is of someone else’s library.";
const NO_LINES: readonly never[] = [];

/** Go to the moment that the URL names, whenever it names another. */
function useMoment(playback: Playback, search: string): void {
  const at = new URLSearchParams(search).get("t");
  useEffect(() => {
    const ms = Number(at);
    // Whoever came by a link on this page asked for the video; one that opened it may be elsewhere.
    const wanted = navigator.userActivation?.hasBeenActive ?? false;
    if (at !== null && at !== "" && ms >= 0) playback.seek(ms, wanted);
  }, [at]);
}

function Waiting() {
  return (
    <div class="player" aria-busy="true">
      <div class="player-head">
        <h1 class="soft">Loading the video…</h1>
      </div>
      <div class="player-body">
        <div class="stage" />
      </div>
    </div>
  );
}
