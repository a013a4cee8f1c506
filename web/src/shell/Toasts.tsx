import { type Toast, toasts } from "./toasts";

/** Where toasts are shown. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.tone}`}>
          <span>{one.text}</span>
          {one.action && <Action toast={one} />}
        </div>
      ))}
    </div>
  );
}

function Action({ toast }: { toast: Toast }) {
  const run = () => {
    toast.action?.run();
    toasts.value = toasts.value.filter((one) => one.id !== toast.id);
  };
  return (
    <button type="button" class="button small" onClick={run}>
      {toast.action?.label}
    </button>
  );
}
