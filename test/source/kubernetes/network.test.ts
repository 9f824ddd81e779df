/** What happens between the source and an API server of each kind; beside source.test.ts since servers take long to start. */
import { networkCases } from "./networkCases.js";
import { onServers } from "./suite.js";

onServers("network", networkCases);
