/** Who is looking: an API key or a session's token, kept until the tab is closed. */
import { signal } from "@preact/signals";
import type { Me } from "./api/types";

const KEPT_AS = "scenebook.credential";

/** The key or token; null where nobody signed in, which is enough with AUTH_MODE=dev. */
export const credential = signal<string | null>(sessionStorage.getItem(KEPT_AS));

/** The caller as the API knows it; null until it is known. */
export const me = signal<Me | null>(null);

/** Why nobody is signed in, once the API has refused; null while it has not. */
export const refusal = signal<string | null>(null);

/** Use this key or token, which is of that caller; nothing of another owner stays on the page. */
export function signIn(secret: string, caller: Me): void {
  sessionStorage.setItem(KEPT_AS, secret);
  if (me.value && me.value.owner_id !== caller.owner_id) {
    location.reload();
    return;
  }
  credential.value = secret;
  refusal.value = null;
}

/** Forget the key or token, and everything that was shown with it. */
export function signOut(): void {
  sessionStorage.removeItem(KEPT_AS);
  location.assign("/");
}

/** The API refused the credential (or its absence). */
export function signedOut(reason: string): void {
  refusal.value = credential.value ? reason : "Sign in to see your videos.";
}

// A page that the browser kept whole, to go back to it, may be of someone who has signed out.
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted && credential.value !== sessionStorage.getItem(KEPT_AS)) location.reload();
});
