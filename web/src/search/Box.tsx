/** The box: words as they are typed, and a picture that is chosen, pasted or dropped. */
import { useEffect, useRef, useState } from "preact/hooks";
import { KINDS } from "../pictures";
import "./box.css";
import { usePause } from "../parts/pause";

const TYPING_MS = 400;
const LEAST_TYPED = 2;

interface Properties {
  /** The words that are searched for. */
  text: string;
  onType: (text: string) => void;
  onSearch: (text: string) => void;
  onPicture: (file: File) => void;
}

export function Box({ text, onType, onSearch, onPicture }: Properties) {
  const [typed, setTyped] = useState(text);
  const sent = useRef(text);
  const box = useRef<HTMLInputElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const pause = usePause(TYPING_MS);
  useSlash(box);

  // Whoever opens an empty search wants to type; on a phone that would bring up the keyboard.
  useEffect(() => {
    if (text || !matchMedia("(hover: hover)").matches) return;
    const waiting = setTimeout(() => box.current?.focus());
    return () => clearTimeout(waiting);
  }, []);

  // Going back and forward changes the words from outside.
  useEffect(() => {
    if (text === sent.current) return;
    sent.current = text;
    setTyped(text);
  }, [text]);

  const type = (value: string) => {
    setTyped(value);
    const words = value.trim();
    if (words.length > 0 && words.length < LEAST_TYPED) return pause.cancel();
    pause.after(() => {
      sent.current = words;
      onType(words);
    });
  };
  const submit = (event: Event) => {
    event.preventDefault();
    pause.cancel();
    sent.current = typed.trim();
    onSearch(sent.current);
  };
  return (
    <search>
      <form class="box" onSubmit={submit}>
        <label class="hidden-but-read" for="words">
          What to look for
        </label>
        <input
          id="words"
          ref={box}
          class="field"
          type="search"
          value={typed}
          maxLength={2000}
          autocomplete="off"
          enterkeyhint="search"
          placeholder="What is said or seen…"
          aria-keyshortcuts="/"
          onInput={(event) => type(event.currentTarget.value)}
        />
        <span class="box-key" aria-hidden="true">
          /
        </span>
        <button
          type="button"
          class="button"
          title="Choose a picture to look for; or drop or paste one"
          onClick={() => file.current?.click()}
        >
          Picture…
        </button>
        <input
          ref={file}
          type="file"
          hidden
          accept={KINDS.join()}
          aria-label="Picture to look for"
          onChange={(event) => {
            const chosen = event.currentTarget.files?.[0];
            if (chosen) onPicture(chosen);
            event.currentTarget.value = "";
          }}
        />
        <button type="submit" class="button primary">
          Search
        </button>
      </form>
    </search>
  );
}

/** `/` puts the cursor into the box, unless something is being typed elsewhere. */
function useSlash(box: { current: HTMLInputElement | null }): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement;
      const types = at.matches("input:not([type=radio], [type=checkbox], [type=range]), textarea");
      const isElsewhere = types && !(at === box.current && box.current.value === "");
      if (event.key !== "/" || isElsewhere || event.ctrlKey || event.metaKey || event.altKey)
        return;
      event.preventDefault();
      box.current?.focus();
      box.current?.select();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
