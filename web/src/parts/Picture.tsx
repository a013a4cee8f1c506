/** A keyframe by its signed URL; one that expired while the page was open is shown all the same. */
import { useEffect, useState } from "preact/hooks";
import { authorization, here } from "../api/client";

interface Properties {
  url: string;
  alt: string;
  class?: string;
  loading?: "lazy" | "eager";
}

export function Picture({ url, alt, ...others }: Properties) {
  const [renewed, setRenewed] = useState({ of: "", src: "" });
  useEffect(() => () => URL.revokeObjectURL(renewed.src), [renewed]);
  const renew = async () => {
    if (renewed.of === url) return;
    const src = await fetched(url).catch(() => null);
    if (src) setRenewed({ of: url, src });
  };
  const src = renewed.of === url ? renewed.src : here(url);
  return <img {...others} src={src} alt={alt} decoding="async" onError={renew} />;
}

/** A URL of this tab for the picture, asked for by who is looking; null where it is no more. */
async function fetched(url: string): Promise<string | null> {
  const unsigned = here(url).replace(/\?.*/, "");
  const response = await fetch(unsigned, { headers: authorization() });
  return response.ok ? URL.createObjectURL(await response.blob()) : null;
}
