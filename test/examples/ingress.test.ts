import { testExamples } from "./examples.js";
import { folderNames, groupOf } from "./folder.js";

testExamples(
  "exingress",
  folderNames().filter((name) => groupOf(name) === "ingress"),
);
