import { testExamples } from "./examples.js";
import { folderNames, groupOf } from "./folder.js";

testExamples(
  "exother",
  folderNames().filter((name) => groupOf(name) === "other"),
);
