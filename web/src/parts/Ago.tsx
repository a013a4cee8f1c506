/** How long ago something was, with the moment itself at hand. */
import { duration } from "../format";

export function Ago({ at }: { at: string }) {
  const ms = Date.now() - Date.parse(at);
  return (
    <time dateTime={at} title={new Date(at).toLocaleString("en")}>
      {ms < 60_000 ? "just now" : `${duration(ms)} ago`}
    </time>
  );
}
