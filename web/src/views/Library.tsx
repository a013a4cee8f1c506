/** The owner's videos: what there is, what is coming in, and where each one stands. */
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { AddVideos } from "../library/AddVideos";
import { announcement } from "../library/announce";
import { Card, CardToCome } from "../library/Card";
import { type Catalog, filterOf, urlOf, useCatalog } from "../library/catalog";
import { hidden, undoLast } from "../library/deletions";
import { FilterBar } from "../library/FilterBar";
import { Follow } from "../library/Follow";
import { Interrupted } from "../library/Interrupted";
import { Uploads } from "../library/Uploads";
import { onArrival } from "../library/uploads";
import { Failure, Nothing } from "../parts/Message";
import { useTitle } from "../parts/title";
import "./library.css";

// As many as are seen at once on a large screen; their pictures do not wait for scrolling.
const FIRST = 12;

export function Library() {
  useTitle("Library");
  const filter = filterOf(useLocation().query);
  const catalog = useCatalog(filter);
  useEffect(() => onArrival(catalog.add), [catalog.add]);
  useEffect(() => {
    window.addEventListener("keydown", undoByKey);
    return () => window.removeEventListener("keydown", undoByKey);
  }, []);

  return (
    <div class="library">
      <header>
        <h1>Library</h1>
        <Interrupted />
        <AddVideos catalog={catalog} />
      </header>
      <FilterBar filter={filter} />
      <Uploads />
      <Videos catalog={catalog} filtered={urlOf(filter) !== "/"} />
      <Follow catalog={catalog} />
      <p class="hidden-but-read" role="status">
        {announcement.value}
      </p>
    </div>
  );
}

/** Ctrl-Z, or Cmd-Z, takes the last deletion back, as Undo in the message does. */
function undoByKey(event: KeyboardEvent): void {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
  if (event.target instanceof HTMLInputElement) return;
  if (undoLast()) event.preventDefault();
}

function Videos({ catalog, filtered }: { catalog: Catalog; filtered: boolean }) {
  const { videos, error, loading, more, again } = catalog;
  if (videos === undefined) {
    if (error) return <Failure error={error} retry={again} />;
    return (
      <ul class="library-grid" aria-busy="true" aria-label="Videos">
        {Array.from({ length: FIRST }, (_, at) => (
          <CardToCome key={at} />
        ))}
      </ul>
    );
  }
  const shown = videos.filter((one) => !hidden.value.has(one.id));
  if (shown.length === 0 && !more && !error) return <Empty filtered={filtered} />;
  return (
    <>
      <ul class="library-grid" aria-busy={loading} aria-label="Videos">
        {shown.map((video, at) => (
          <Card key={video.id} video={video} catalog={catalog} eager={at < FIRST} />
        ))}
      </ul>
      {error !== undefined && <Failure error={error} retry={more ?? again} />}
      {more && !error && (
        <p class="library-more">
          <button type="button" class="button" aria-disabled={loading} onClick={more}>
            {loading ? "Loading…" : "Show more"}
          </button>
        </p>
      )}
    </>
  );
}

function Empty({ filtered }: { filtered: boolean }) {
  if (filtered) {
    return (
      <Nothing>
        No video is like that. <a href="/">Show all videos</a>
      </Nothing>
    );
  }
  return (
    <div class="library-empty">
      <h2>Drop a video here</h2>
      <p class="soft">
        Scenebook finds its scenes, listens to what is said and looks at what is seen. Then you can
        search in it.
      </p>
      <p class="soft small">Many at once are fine. An upload that breaks off goes on later.</p>
    </div>
  );
}
