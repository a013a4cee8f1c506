/** One search: as JSON, or with the picture of this tab beside it. */
import { picture } from "../pictures";
import type { Query } from "../query";
import { api, data, Problem } from "./client";
import type { SearchAnswer, SearchRequest } from "./types";

/** The answer to a query as `body` asks it. Throws Problem. */
export async function search(
  query: Query,
  body: SearchRequest,
  signal: AbortSignal,
): Promise<SearchAnswer> {
  if (query.picture === null) return data(api.POST("/v1/search", { body, signal }));
  const file = picture(query.picture);
  if (!file) {
    const lost = "The picture was of another visit. Drop it into the search again.";
    throw new Problem(0, "gone", lost);
  }
  const form = new FormData();
  form.set("file", file);
  form.set("options", JSON.stringify(body));
  // The generated type of an uploaded file is a string; FormData carries the file itself.
  const sent = { file: file.name, options: "" };
  return data(api.POST("/v1/search/image", { body: sent, bodySerializer: () => form, signal }));
}
