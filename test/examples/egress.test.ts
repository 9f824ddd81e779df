import { testExamples } from "./examples.js";
import { folderNames, groupOf } from "./folder.js";

testExamples(
  "exegress",
  folderNames().filter((name) => groupOf(name) === "egress"),
);
