/** What the API says of operations, under the names that this view uses. */
import type { components } from "../../api/schema";

type Schemas = components["schemas"];

export type Overview = Schemas["OperationsOut"];
export type Depth = Schemas["DepthOut"];
export type Process = Schemas["ProcessOut"];
export type Running = Schemas["RunningOut"];
export type DeadLetter = Schemas["DeadLetterOut"];
export type Space = Schemas["SpaceOut"];
export type LoggedSearch = Schemas["LoggedSearchOut"];
