/** What stands around every view: the name, the ways to go, messages, and the door. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, data } from "../api/client";
import { credential, me, refusal, signOut } from "../session";
import { SignIn } from "../views/SignIn";
import "./shell.css";
import { Toasts } from "./Toasts";
import { type Theme, theme } from "./theme";

export function Shell({ children }: { children: ComponentChildren }) {
  const { path } = useLocation();
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    if (refusal.value === null) void data(api.GET("/v1/me")).then(known, ignore);
  }, [credential.value, refusal.value]);
  const isOpen = refusal.value === null;
  useEffect(() => {
    if (first.current) first.current = false;
    else if (isOpen) main.current?.focus({ preventScroll: true });
  }, [path, isOpen]);

  return (
    <>
      <a class="skip button" href="#main">
        Skip to the content
      </a>
      <header class="masthead">
        <a class="name" href="/" aria-label="Scenebook">
          <Mark />
          <span>Scenebook</span>
        </a>
        <nav aria-label="Main">
          <Way to="/" path={path} label="Library" />
          <Way to="/search" path={path} label="Search" />
          {me.value?.operator && <Way to="/operations" path={path} label="Operations" />}
        </nav>
        <ThemeSwitch />
        {credential.value && (
          <button type="button" class="button quiet small" onClick={signOut}>
            Sign out
          </button>
        )}
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {refusal.value === null ? children : <SignIn reason={refusal.value} />}
      </main>
      <Toasts />
    </>
  );
}

function known(found: NonNullable<typeof me.value>) {
  me.value = found;
}

/** Whoever is refused is shown the sign-in; other errors are told by the view itself. */
function ignore() {}

function Way({ to, path, label }: { to: string; path: string; label: string }) {
  return (
    <a href={to} aria-current={path === to ? "page" : undefined}>
      {label}
    </a>
  );
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function ThemeSwitch() {
  return (
    <button
      type="button"
      class="button quiet small"
      title="Light, dark, or as the system has it"
      onClick={() => {
        theme.value = NEXT[theme.value];
      }}
    >
      <span class="hidden-but-read">Colours: </span>
      {{ system: "Auto", light: "Light", dark: "Dark" }[theme.value]}
    </button>
  );
}

function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#4338ca" />
      <path d="M7 9h18v3H7zM7 20h18v3H7z" fill="#c7d2fe" />
      <path d="M13 13.2v5.6l5.4-2.8z" fill="#fff" />
    </svg>
  );
}
