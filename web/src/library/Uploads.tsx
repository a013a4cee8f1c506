/** The list of files on their way. */
import { bytes, counted, percent } from "../format";
import {
  cancel,
  forget,
  forgetFinished,
  pause,
  resume,
  type Upload,
  type UploadState,
  uploads,
} from "./uploads";

export function Uploads() {
  const list = uploads.value;
  if (list.length === 0) return null;
  const done = list.filter((one) => one.state === "done");
  const others = list.filter((one) => one.state !== "done");
  return (
    <section class="library-uploads panel" aria-label="Uploads">
      <div class="row">
        <h2>Uploads</h2>
        <span class="soft">
          {done.length} of {counted(list.length, "file")}
        </span>
        {done.length > 0 && (
          <button type="button" class="button quiet small clear" onClick={forgetFinished}>
            Clear finished
          </button>
        )}
      </div>
      <ul>
        {[...others, ...done].map((one) => (
          <Row key={one.id} upload={one} />
        ))}
      </ul>
    </section>
  );
}

function Row({ upload }: { upload: Upload }) {
  const { id, name, state } = upload;
  const Button = ({ label, run }: { label: string; run: (id: number) => void }) => (
    <button
      type="button"
      class="button quiet small"
      aria-label={`${label}: ${name}`}
      onClick={() => run(id)}
    >
      {label}
    </button>
  );
  return (
    <li class={`library-upload ${state}`}>
      <span class="name" title={name}>
        {name}
      </span>
      <Bar {...upload} />
      <span class="said small">
        <Said {...upload} />
      </span>
      <span class="ways">
        {(state === "sending" || state === "waiting") && <Button label="Pause" run={pause} />}
        {state === "paused" && <Button label="Go on" run={resume} />}
        {state === "broken" && <Button label="Try now" run={resume} />}
        {state === "failed" && <Button label="Try again" run={resume} />}
        {state === "done" || state === "failed" ? (
          <Button label="Clear" run={forget} />
        ) : (
          <Button label="Cancel" run={cancel} />
        )}
      </span>
    </li>
  );
}

function Bar({ name, size, sent, state }: Upload) {
  const share = state === "done" ? 1 : size ? sent / size : 0;
  return (
    <span
      class="library-bar"
      role="progressbar"
      aria-label={`Upload of ${name}`}
      aria-valuenow={Math.round(share * 100)}
      aria-valuetext={`${percent(share)}, ${WORDS[state]}`}
    >
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}

const WORDS: Record<UploadState, string> = {
  waiting: "in line",
  sending: "uploading",
  paused: "paused",
  broken: "interrupted",
  done: "uploaded",
  failed: "not uploaded",
};

function Said({ size, sent, state, detail, video, duplicate }: Upload) {
  const soFar = `${bytes(sent)} of ${bytes(size)}`;
  if (state === "sending") return <>{sent < size ? soFar : `${bytes(size)}, being stored`}</>;
  if (state === "broken" || state === "failed") {
    return (
      <>
        {state === "broken" && `${soFar}. `}
        {detail}
      </>
    );
  }
  if (state !== "done" || !video) return <>{`${WORDS[state]}, ${soFar}`}</>;
  const link = <a href={`/videos/${video.id}`}>{video.title}</a>;
  return duplicate ? <>You had this file already: {link}</> : <>Uploaded: {link}</>;
}
