/** Names a URL for the workers to fetch a video from. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { api, data, detailOf } from "../api/client";
import { freshKey } from "../fresh";
import { toast } from "../shell/toasts";
import type { Catalog } from "./catalog";
import { Dialog } from "./Dialog";

export function ImportDialog({ catalog, close }: { catalog: Catalog; close: () => void }) {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const url = useSignal("");
  const title = useSignal("");
  const error = useSignal("");
  const busy = useSignal(false);
  // What is sent twice because the first answer was lost is done once.
  const request = useRef({ of: "", key: "" });

  const send = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    const body = { url: url.value.trim(), title: title.value.trim() || null };
    const of = JSON.stringify(body);
    if (request.current.of !== of) request.current = { of, key: freshKey() };
    busy.value = true;
    error.value = "";
    try {
      const video = await data(
        api.POST("/v1/videos", {
          params: { header: { "Idempotency-Key": request.current.key } },
          body,
        }),
      );
      catalog.add(video);
      toast(`“${video.title}” will be fetched.`);
      close();
    } catch (reason) {
      error.value = detailOf(reason);
    }
    busy.value = false;
  };

  return (
    <Dialog title="Import from a URL" close={close}>
      <form class="library-form" onSubmit={send}>
        <label for="import-url">Where the video is</label>
        <input
          ref={field}
          id="import-url"
          class="field"
          type="url"
          required
          placeholder="https://example.org/film.mp4"
          aria-describedby="import-error"
          value={url.value}
          onInput={({ currentTarget }) => {
            url.value = currentTarget.value;
          }}
        />
        <label for="import-title">
          Title <span class="soft">(else the file's name)</span>
        </label>
        <input
          id="import-title"
          class="field"
          maxLength={500}
          value={title.value}
          onInput={({ currentTarget }) => {
            title.value = currentTarget.value;
          }}
        />
        <p id="import-error" class="library-wrong" role="alert">
          {error.value}
        </p>
        <button type="submit" class="button primary" aria-disabled={busy.value}>
          {busy.value ? "Asking…" : "Import"}
        </button>
      </form>
    </Dialog>
  );
}
