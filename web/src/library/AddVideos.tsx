/** Ways for videos to come in: chosen, dropped anywhere on the view, or named by a URL. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { toast } from "../shell/toasts";
import type { Catalog } from "./catalog";
import { ImportDialog } from "./ImportDialog";
import { addFiles } from "./uploads";

export function AddVideos({ catalog }: { catalog: Catalog }) {
  const input = useRef<HTMLInputElement>(null);
  const importing = useSignal(false);
  return (
    <div class="library-add">
      <input
        ref={input}
        type="file"
        multiple
        hidden
        accept="video/*,.mkv,.flv,.ts,.mts,.m2ts,.wmv,.avi,.mpg"
        aria-label="Videos to upload"
        onChange={({ currentTarget }) => {
          addFiles(currentTarget.files ?? []);
          currentTarget.value = ""; // the same file can be chosen again
        }}
      />
      <button
        type="button"
        class="button"
        onClick={() => {
          importing.value = true;
        }}
      >
        Import from a URL
      </button>
      <button type="button" class="button primary" onClick={() => input.current?.click()}>
        Upload videos
      </button>
      <DropZone />
      {importing.value && (
        <ImportDialog
          catalog={catalog}
          close={() => {
            importing.value = false;
          }}
        />
      )}
    </div>
  );
}

/** Files can be dropped anywhere while the library is shown. */
function DropZone() {
  const over = useSignal(false);
  useEffect(() => {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
    const events: Record<string, (event: DragEvent) => void> = {
      dragover: (event) => {
        if (!carriesFiles(event)) return;
        event.preventDefault();
        over.value = true;
      },
      dragleave: (event) => {
        // The pointer left the window, not only one element of it.
        if (event.relatedTarget === null) over.value = false;
      },
      drop: (event) => {
        if (!carriesFiles(event)) return;
        event.preventDefault();
        over.value = false;
        addFiles(filesOf(event.dataTransfer));
      },
    };
    for (const [name, hear] of Object.entries(events))
      window.addEventListener(name, hear as EventListener);
    return () => {
      for (const [name, hear] of Object.entries(events))
        window.removeEventListener(name, hear as EventListener);
    };
  }, []);
  return over.value ? <div class="library-drop">Drop videos to upload them</div> : null;
}

function filesOf(dropped: DataTransfer | null): File[] {
  const items = [...(dropped?.items ?? [])].filter((one) => one.kind === "file");
  const files = items.filter((one) => !one.webkitGetAsEntry()?.isDirectory);
  if (files.length < items.length)
    toast("A folder cannot be uploaded. Drop the files that are in it.", { tone: "bad" });
  return files.map((one) => one.getAsFile()).filter((file) => file !== null);
}
