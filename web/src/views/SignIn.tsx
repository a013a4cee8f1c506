/** Asks for an API key or a token, where the service knows nobody without one. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { detailOf, problemOf } from "../api/client";
import type { Me } from "../api/types";
import { useTitle } from "../parts/title";
import { credential, signIn } from "../session";
import "./sign-in.css";

export function SignIn({ reason }: { reason: string }) {
  useTitle("Sign in");
  const input = useRef<HTMLInputElement>(null);
  const said = useSignal(reason);
  // Whoever comes without a key did nothing wrong.
  const wrong = useSignal(credential.value !== null);
  const shown = useSignal(false);
  const busy = useSignal(false);
  useLayoutEffect(() => input.current?.focus(), []);

  const send = async (event: Event) => {
    event.preventDefault();
    if (busy.value) return;
    const secret = bare(input.current?.value ?? "");
    busy.value = true;
    said.value = "";
    try {
      signIn(secret, await callerWith(secret));
    } catch (error) {
      said.value = detailOf(error);
      wrong.value = true;
      input.current?.select();
    }
    busy.value = false;
  };

  return (
    <form class="sign-in panel" onSubmit={send}>
      <h1>Sign in</h1>
      <label for="secret">API key, or a session's token</label>
      <div class="secret">
        <input
          ref={input}
          id="secret"
          class="field"
          {...(shown.value ? AS_TEXT : AS_DOTS)}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          aria-describedby="sign-in-said"
          aria-invalid={wrong.value}
        />
        <button
          type="button"
          class="button"
          aria-pressed={shown.value}
          onClick={() => {
            shown.value = !shown.value;
          }}
        >
          Show
        </button>
      </div>
      <p id="sign-in-said" class={wrong.value ? "said wrong" : "said soft"} role="alert">
        {said.value}
      </p>
      <button type="submit" class="button primary" aria-disabled={busy.value}>
        {busy.value ? "Asking…" : "Sign in"}
      </button>
      <p class="soft small">
        It stays in this tab and is forgotten when the tab is closed. A key is made with{" "}
        <code>scenebook keys create</code>.
      </p>
    </form>
  );
}

const AS_TEXT = { type: "text" } as const;
const AS_DOTS = { type: "password" } as const;

/** The secret without what was copied with it. */
function bare(text: string): string {
  return text
    .trim()
    .replace(/^bearer\s+/i, "")
    .replace(/^(["'])(.*)\1$/, "$2");
}

/** Who has this secret. Throws an error that says why the API does not take it. */
async function callerWith(secret: string): Promise<Me> {
  if (!secret) throw new Error("Enter a key or a token.");
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new Error("A key has no spaces and no special characters. Copy it again, as a whole.");
  if (!secret.startsWith("sbk_") && secret.split(".").length !== 3)
    throw new Error(
      "An API key begins with sbk_, and a token has three parts with dots between them.",
    );
  const headers = { Authorization: `Bearer ${secret}` };
  const response = await fetch("/v1/me", { headers }).catch(() => {
    throw new Error("Scenebook cannot be reached. Check the network, and try again.");
  });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}
