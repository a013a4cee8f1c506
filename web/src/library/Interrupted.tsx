/** What an earlier visit left unfinished; the browser cannot open a file again by itself. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { PreviousUpload } from "tus-js-client";
import { bytes, counted } from "../format";
import { me } from "../session";
import { Dialog } from "./Dialog";
import { brokenOff, giveUp } from "./tus";
import { uploads } from "./uploads";

export function Interrupted() {
  const found = useSignal<readonly PreviousUpload[]>([]);
  const open = useSignal(false);
  const look = async () => {
    found.value = await brokenOff();
  };
  useEffect(() => void look(), [uploads.value.length, me.value]);

  const onTheirWay = new Set(uploads.value.map((one) => one.name));
  const others = found.value.filter((one) => !onTheirWay.has(one.metadata.filename ?? ""));
  const close = () => {
    open.value = false;
  };
  return (
    <>
      {others.length > 0 && (
        <button
          type="button"
          class="button small"
          onClick={() => {
            open.value = true;
          }}
        >
          {counted(others.length, "interrupted upload")}
        </button>
      )}
      {open.value && (
        <Dialog title="Interrupted uploads" close={close}>
          <p class="soft">Choose or drop the same file again: it goes on where it stopped.</p>
          <ul class="library-rows">
            {others.map((one) => (
              <Row key={one.urlStorageKey} upload={one} discard={() => giveUp(one).then(look)} />
            ))}
            {others.length === 0 && <li>Nothing is left.</li>}
          </ul>
        </Dialog>
      )}
    </>
  );
}

function Row({ upload, discard }: { upload: PreviousUpload; discard: () => void }) {
  const name = upload.metadata.filename ?? "";
  return (
    <li>
      <span class="name">{name}</span>
      <span class="said small">{bytes(upload.size ?? 0)}</span>
      <button type="button" class="button small" aria-label={`Discard: ${name}`} onClick={discard}>
        Discard
      </button>
    </li>
  );
}
