/** The whole answer of the API, for those who want to see it as it is. */
import { toast } from "../shell/toasts";

export function Json({ value }: { value: unknown }) {
  const text = JSON.stringify(value, null, 2);
  const copy = async () => {
    try {
      // Without https there is no clipboard.
      await navigator.clipboard.writeText(text);
      toast("The JSON is copied.");
    } catch {
      toast("The browser did not allow it. Mark the text and copy it.", { tone: "bad" });
    }
  };
  return (
    <details class="json panel">
      <summary>JSON</summary>
      <button type="button" class="button small" onClick={copy}>
        Copy
      </button>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no mouse scrolls it by keys */}
      <section tabIndex={0} aria-label="The scene as JSON">
        <pre>{text}</pre>
      </section>
    </details>
  );
}
