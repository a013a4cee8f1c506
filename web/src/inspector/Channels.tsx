/** How each channel of a scene got on: its status and why, its model, its time. */
import type { ComponentChildren } from "preact";
import type { Channel, ChannelState } from "../api/types";
import { ChannelStatusBadge } from "../parts/badges";
import { CHANNELS } from "../words";
import { detailsOf, meaningOf, WHAT } from "./states";

export function Channels({ channels }: { channels: Partial<Record<Channel, ChannelState>> }) {
  const names = Object.keys(WHAT).filter((name): name is Channel => name in channels);
  return (
    <section aria-labelledby="channels">
      <h2 id="channels">Channels</h2>
      <ul class="channels">
        {names.map((name) => {
          const state = channels[name];
          return state && <One key={name} name={name} state={state} />;
        })}
      </ul>
    </section>
  );
}

function One({ name, state }: { name: Channel; state: ChannelState }) {
  const details = detailsOf(state);
  return (
    <li class="panel">
      <div class="row">
        <h3>{CHANNELS[name]}</h3>
        <ChannelStatusBadge status={state.status} />
        <code class="soft small">{name}</code>
      </div>
      <p class="soft small">{WHAT[name]}</p>
      <p>{meaningOf(name, state)}</p>
      {state.error && <p class="error">{state.error}</p>}
      {details.length > 0 && (
        <dl>
          {details.map(([label, value]) => (
            <Detail key={label} label={label}>
              {value}
            </Detail>
          ))}
        </dl>
      )}
    </li>
  );
}

function Detail({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
