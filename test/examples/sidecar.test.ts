import { testExamples } from "./examples.js";
import { folderNames, groupOf } from "./folder.js";

testExamples(
  "exsidecar",
  folderNames().filter((name) => groupOf(name) === "sidecar"),
);
